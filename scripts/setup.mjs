// Prepares the npm packages, Rust, the modules and the console, for the commands of package.json. The static imports are
// only modules of Node and of this project, because a fresh clone has no npm packages.

import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { consolePage } from './console.mjs';
import { step } from './freshness.mjs';
import { modules, sql } from './modules.mjs';
import { mustBePinned, prebuilt } from './prebuilt.mjs';
import { must, run } from './processes.mjs';
import { newNode, npm, UserError } from './project.mjs';

const wasmTarget = 'wasm32-unknown-unknown';

export async function packages() {
  // npm writes this file after it has installed the packages.
  const about = { outputs: ['node_modules/.package-lock.json'], inputs: ['package-lock.json'] };
  await step('npm packages', about, async () => {
    const [command, first] = npm();
    const flags = ['ci', '--include=dev', '--include=optional', '--loglevel=error'];
    await must('Installing the npm packages', command, [...first, ...flags]);
    await untilRunnable(newNode());
  });
}

/**
 * Waits until a new program can run. For a moment, Linux may report that its file is still open for
 * writing (ETXTBSY).
 */
async function untilRunnable(program) {
  for (let triesLeft = 50; ; triesLeft -= 1) {
    try {
      await must('Running Node', program, ['--version'], { quiet: true });
      return;
    } catch (error) {
      if (error.code !== 'ETXTBSY' || triesLeft === 0) throw error;
      await sleep(100);
    }
  }
}

/** Throws a [UserError] if no C compiler is installed. Except on Windows, rustc links with `cc`. */
export async function checkLinker(compiler = 'cc') {
  const isConfigured = Object.keys(process.env).some((name) => /^CARGO_TARGET_.*_LINKER$/.test(name));
  if (process.platform === 'win32' || isConfigured) return;
  const { code } = await run(compiler, ['--version'], { quiet: true });
  if (code === 0) return;
  throw new UserError(
    'A C compiler is not installed, but Rust needs it to link programs. Install it and start again: on Debian and ' +
      'Ubuntu with `apt-get install gcc libc6-dev`, on macOS with `xcode-select --install`.',
  );
}

/**
 * Returns whether a program is installed. Throws a [UserError] if the program fails. For example, rustup may fail to
 * download the compiler.
 */
async function isInstalled(program) {
  const { code, output } = await run(program, ['--version'], { quiet: true });
  if (code === null) return false;
  if (code !== 0) throw new UserError(`${program} is installed, but fails:\n${output.trim()}`);
  return true;
}

/** Installs the WebAssembly target. */
export async function rust() {
  if (!(await isInstalled('rustc')) || !(await isInstalled('cargo'))) {
    throw new UserError('Rust is not installed: install rustup (https://rustup.rs) and start again.');
  }
  await checkLinker();
  const asked = ['--print', 'target-libdir', '--target', wasmTarget];
  const libraries = await run('rustc', asked, { quiet: true });
  if (libraries.code === 0 && existsSync(libraries.output.trim())) return;
  console.log(`- Rust target ${wasmTarget} …`);
  const { code } = await run('rustup', ['target', 'add', wasmTarget]);
  if (code === 0) return;
  throw new UserError(
    `The Rust target ${wasmTarget} is missing: install rustup (https://rustup.rs), ` +
      `or run \`rustup target add ${wasmTarget}\` and start again.`,
  );
}

/**
 * Returns whether cargo is installed. Without cargo, `npm start` downloads the modules of a
 * release.
 */
export const hasCargo = () => isInstalled('cargo');

/**
 * Installs the npm packages, builds or downloads the modules, and builds the console. Resolves to a Node that wrangler
 * accepts. Throws a [UserError] if there is neither cargo nor a release with modules.
 */
export async function prepareAll(profile = 'release') {
  const isBuiltHere = await hasCargo();
  if (!isBuiltHere) mustBePinned();
  else await rust();
  const installed = packages();
  if (isBuiltHere) await modules(profile, installed);
  await installed;
  if (!isBuiltHere) await prebuilt();
  await consolePage();
  return newNode();
}

/** Builds SQL with a profile of cargo, and the console with SQL. */
export async function prepareSql(profile = 'sql-quick') {
  await rust();
  await packages();
  await sql(profile);
  await consolePage();
}
