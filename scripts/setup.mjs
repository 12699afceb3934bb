// Prepares everything that the Worker needs, in the order of the dependencies. The static imports
// are only modules of Node and of this project, because a fresh clone has no npm packages.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { consolePage, sqlPageFolder } from './console.mjs';
import { buildEngine, buildSql, buildWorker } from './modules.mjs';
import { mustBePinned, prebuilt } from './prebuilt.mjs';
import { must, run } from './processes.mjs';
import { at, lockedCrate, newNode, npm, UserError } from './project.mjs';
import { fingerprint, isDone, step } from './setup_steps.mjs';

const wasmTarget = 'wasm32-unknown-unknown';

export async function packages() {
  const inputs = fingerprint(['package.json', 'package-lock.json']);
  // The stamp is in node_modules. If a user deletes this folder, the stamp is missing and the
  // packages are installed again.
  const stamp = 'node_modules/.tidemark-stamp';
  await step('npm packages', { stamp, inputs, outputs: [] }, async () => {
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

let rustVersion;

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

/** Installs the WebAssembly target. Resolves to the compiler's version. */
export const rust = () => (rustVersion ??= checkRust());

/**
 * Returns the version of a program, or null if the program is not installed. Throws a [UserError] if
 * the program fails. For example, rustup may fail to download the compiler.
 */
async function versionOf(program) {
  const { code, output } = await run(program, ['--version'], { quiet: true });
  if (code === null) return null;
  if (code !== 0) throw new UserError(`${program} is installed, but fails:\n${output.trim()}`);
  return output.trim();
}

async function checkRust() {
  const [compiler, cargo] = [await versionOf('rustc'), await versionOf('cargo')];
  if (compiler === null || cargo === null) {
    throw new UserError('Rust is not installed: install rustup (https://rustup.rs) and start again.');
  }
  const asked = ['--print', 'target-libdir', '--target', wasmTarget];
  const libraries = await run('rustc', asked, { quiet: true });
  if (libraries.code !== 0 || !existsSync(libraries.output.trim())) {
    console.log(`- Rust target ${wasmTarget} …`);
    const { code } = await run('rustup', ['target', 'add', wasmTarget]);
    if (code !== 0) {
      throw new UserError(
        `The Rust target ${wasmTarget} is missing: install rustup (https://rustup.rs), ` +
          `or run \`rustup target add ${wasmTarget}\` and start again.`,
      );
    }
  }
  return compiler;
}

/** Builds wasm-bindgen, which generates the JavaScript of a module. Resolves to its path. */
async function buildBindgen() {
  const folder = at('.cache', 'tools', 'bindgen');
  const program = join(folder, 'debug', 'bindgen');
  const inputs = fingerprint(['scripts/bindgen'], [await rust()]);
  const about = { stamp: '.cache/stamps/bindgen', inputs, outputs: [program], lasts: '(once)' };
  await step('The JavaScript generator', about, async () => {
    await checkLinker();
    const args = ['build', '--locked', '--manifest-path', at('scripts', 'bindgen', 'Cargo.toml'), '--target-dir', folder];
    await must('Compiling the JavaScript generator', 'cargo', args);
  });
  return program;
}

/** @type {Promise<string> | undefined} */
let generator;

/** Returns a promise of wasm-bindgen's path, and its version for the fingerprint. */
function binding() {
  const binder = (generator ??= buildBindgen());
  // Prevents an unhandled rejection until the caller awaits the promise.
  binder.catch(() => {});
  return { binder, version: lockedCrate('wasm-bindgen') };
}

async function workerRecord(profile) {
  const compiler = await rust();
  const code = ['src', 'crates', '.cargo/config.toml', 'scripts/modules.mjs'];
  const sources = [...code, 'Cargo.toml', 'Cargo.lock', 'package-lock.json'];
  const inputs = fingerprint(sources, [compiler, lockedCrate('wasm-bindgen'), profile]);
  const outputs = [at('build', 'index.js'), at('build', 'index_bg.wasm')];
  return { stamp: '.cache/stamps/worker', inputs, outputs, lasts: '(two or three minutes)' };
}

/**
 * Builds the Worker. A local server may use the profile `quick`. Only the bundling waits for
 * `installed`, which resolves after the npm packages are installed.
 */
export async function worker(profile = 'release', installed = Promise.resolve()) {
  const record = await workerRecord(profile);
  const binder = Promise.all([binding().binder, installed]).then(([program]) => program);
  binder.catch(() => {});
  const title = profile === 'release' ? 'The Worker, for release' : 'The Worker, with the quick profile';
  await step(title, record, () => buildWorker(binder, at('build'), profile));
}

/**
 * Builds the Worker for a local server with the profile `quick`. An up-to-date release build is
 * used instead.
 */
async function workerToTry(installed) {
  await worker(isDone(await workerRecord('release')) ? 'release' : 'quick', installed);
}

/** The folder of the browser's module. `www/engine/worker.js` contains the same path. */
export const engineFolder = at('.cache', 'engine');

/** Returns the sources of the browser's module. */
export function engineSources() {
  return ['crates', '.cargo/config.toml', 'scripts/modules.mjs', 'Cargo.toml', 'Cargo.lock', 'package-lock.json'];
}

/** Builds `tidemark.js` and `tidemark_bg.wasm` for the database in the browser. */
export async function engine() {
  const about = await aboutEngine();
  const { binder } = binding();
  await step('The database for the browser', about, () => buildEngine(binder, engineFolder));
}

async function aboutEngine() {
  const inputs = fingerprint(engineSources(), [await rust(), lockedCrate('wasm-bindgen')]);
  const outputs = ['tidemark.js', 'tidemark_bg.wasm'].map((name) => join(engineFolder, name));
  return { stamp: '.cache/stamps/engine', inputs, outputs, lasts: '(two or three minutes)' };
}

/**
 * Builds all modules in parallel. With two cores, this takes two thirds of the time of sequential
 * builds.
 */
export async function modules() {
  await rust();
  await Promise.all([worker(), engine()]);
}

/** The folder of the built SQL Worker. `sql/wrangler.toml` contains the same path. */
export const sqlFolder = at('sql', 'build');

async function sqlRecord(profile) {
  const versions = [await rust(), lockedCrate('wasm-bindgen')];
  const own = ['src', 'Cargo.toml', 'stack.rs', 'worker.js', 'sessions.js'];
  const database = ['crates', 'Cargo.toml', '.cargo/config.toml', 'scripts/modules.mjs'];
  // SQL uses the lock file and the profiles of the native host, which includes the same crate.
  const shared = ['native/Cargo.toml', 'native/Cargo.lock', 'native/zstd-stub'];
  const sources = [...own.map((name) => join('sql', name)), ...database, ...shared];
  const inputs = fingerprint(sources, [...versions, profile]);
  const outputs = ['index.js', 'index_bg.wasm', 'module.mjs'].map((name) => join(sqlFolder, name));
  const ofPage = ['sql.js', 'sql.wasm.gz'].map((name) => join(sqlPageFolder, name));
  return { stamp: '.cache/stamps/sql', inputs, outputs: [...outputs, ...ofPage] };
}

/** The duration of a build on two cores. */
const sqlLasts = {
  quick: '(the first time about ten minutes with two cores, later a minute)',
  release: '(about an hour with two cores)',
};

export const releaseProfile = 'release';

/** Also builds the console with SQL. A `quick` build never replaces an up-to-date release build. */
export async function sql(profile = 'quick') {
  const isReleased = await hasReleasedSql();
  const record = await sqlRecord(isReleased ? releaseProfile : profile);
  await step('The SQL Worker', { ...record, lasts: sqlLasts[profile] }, () =>
    buildSql(binding().binder, { folder: sqlFolder, pageFolder: sqlPageFolder, profile }),
  );
  await consolePage();
}

export const hasReleasedSql = async () => isDone(await sqlRecord(releaseProfile));

export const hasSql = () => existsSync(join(sqlFolder, 'module.mjs'));

/** Returns whether the sources have changed since the SQL Worker was built. */
export async function isSqlOld() {
  if (!hasSql() || !(await hasCargo())) return false;
  return !isDone(await sqlRecord('quick')) && !(await hasReleasedSql());
}

/**
 * Returns whether cargo is installed. Without cargo, `npm start` downloads the modules of a
 * release.
 */
export const hasCargo = async () => (await versionOf('cargo')) !== null;

/**
 * Returns whether the modules can be built. Throws a [UserError] if there is neither cargo nor a
 * release with modules.
 */
async function canBuild() {
  const isBuiltHere = await hasCargo();
  if (!isBuiltHere) mustBePinned();
  return isBuiltHere;
}

/** Downloads the modules if cargo is not installed. Resolves to a Node that wrangler accepts. */
async function buildConsole(build) {
  const isBuiltHere = await canBuild();
  await packages();
  const node = newNode();
  await (isBuiltHere ? build() : prebuilt());
  await consolePage();
  return node;
}

export const prepareAll = () => buildConsole(modules);

/** Builds the console with the database for the browser, which needs no Worker. */
export const preparePage = () => buildConsole(engine);

/**
 * Prepares a local server. `node` is a Node that wrangler accepts. `rest` builds the browser's
 * module if necessary. Until then, the console works without the database in the browser.
 */
export async function prepareServer() {
  const isBuiltHere = await canBuild();
  const installed = packages();
  // The caller that awaits the promise handles its error.
  installed.catch(() => {});
  if (isBuiltHere) await workerToTry(installed);
  await installed;
  if (!isBuiltHere) await prebuilt();
  const node = newNode();
  const isWhole = !isBuiltHere || isDone(await aboutEngine());
  await consolePage();
  const rest = async () => {
    if (isWhole) return;
    await engine();
    await consolePage();
  };
  return { node, rest };
}
