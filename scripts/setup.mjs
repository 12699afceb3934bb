// Everything that has to be there before the Worker can run, in the order in which it is needed.
// Uses nothing but Node itself: on a fresh clone there are no packages yet.

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { consolePage, sqlPageFolder } from './console.mjs';
import { buildEngine, buildSql, buildWorker } from './modules.mjs';
import { prebuilt } from './prebuilt.mjs';
import { must, run } from './processes.mjs';
import { at, lockedCrate, newNode, npm, Sentence, toolRoot } from './project.mjs';
import { fingerprint, isDone, step } from './steps.mjs';

const wasmTarget = 'wasm32-unknown-unknown';

/** npm packages, exactly as locked. */
export async function packages() {
  const inputs = fingerprint(['package.json', 'package-lock.json']);
  // Inside node_modules, so that removing the folder removes the stamp.
  const stamp = 'node_modules/.tidemark-stamp';
  await step('npm packages', { stamp, inputs, outputs: [] }, async () => {
    const [command, first] = npm();
    const flags = ['ci', '--include=dev', '--include=optional', '--loglevel=error'];
    await must('Installing the npm packages', command, [...first, ...flags]);
    await untilRunnable(newNode());
  });
}

/** A program that was written a moment ago may still count as open for writing. */
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

let rustAsked;

/** The Rust compiler, and its WebAssembly target. Resolves to the compiler's version; asked for once. */
export const rust = () => (rustAsked ??= askRust());

async function askRust() {
  const compiler = await run('rustc', ['--version'], { quiet: true });
  const cargo = await run('cargo', ['--version'], { quiet: true });
  if (compiler.code !== 0 || cargo.code !== 0) {
    throw new Sentence('Rust is not installed: install rustup (https://rustup.rs) and start again.');
  }
  const asked = ['--print', 'target-libdir', '--target', wasmTarget];
  const libraries = await run('rustc', asked, { quiet: true });
  if (libraries.code !== 0 || !existsSync(libraries.output.trim())) {
    console.log(`- Rust target ${wasmTarget} …`);
    const { code } = await run('rustup', ['target', 'add', wasmTarget]);
    if (code !== 0) {
      throw new Sentence(
        `The Rust target ${wasmTarget} is missing: install rustup (https://rustup.rs), ` +
          `or run \`rustup target add ${wasmTarget}\` and start again.`,
      );
    }
  }
  return compiler.output.trim();
}

/**
 * How a tool is compiled: it runs for seconds, and optimising it takes longer than all its runs. Of
 * wasm-bindgen's: 140 s of CPU time, each run 3.6 s instead of 0.9, the same output.
 */
const toolProfile = {
  CARGO_PROFILE_RELEASE_OPT_LEVEL: '0',
  CARGO_PROFILE_RELEASE_CODEGEN_UNITS: '256',
};

/** A program from crates.io in exactly one version, with `options`, installed inside the repository. */
async function cargoTool(crate, version, options) {
  const folder = toolRoot(crate, version);
  const outputs = [join(folder, 'bin')];
  const stamp = `.cache/stamps/${crate}`;
  const lasts = '(once, some minutes)';
  await step(`${crate} ${version}`, { stamp, inputs: version, outputs, lasts }, async () => {
    const args = ['install', crate, '--version', version, '--root', folder, ...options];
    const locked = await run('cargo', [...args, '--locked'], { env: toolProfile });
    if (locked.code === 0) return;
    // Its own lock file may name versions that are gone from the registry.
    console.log(`  with the locked dependencies that failed; once more with newer ones`);
    await must(`Installing ${crate}`, 'cargo', args, { env: toolProfile });
  });
  return join(folder, 'bin');
}

/** @type {Promise<string> | undefined} */
let bindgen;

/** wasm-bindgen in the version of Cargo.lock: the folder of its programs. Installed once for all who ask. */
export function wasmBindgen() {
  // Its default is TLS, with which its test runner could ask a browser elsewhere: a third of its build.
  bindgen ??= cargoTool('wasm-bindgen-cli', lockedCrate('wasm-bindgen'), ['--no-default-features']);
  return bindgen;
}

/** Its program, and its version for a fingerprint. */
function binding() {
  const binder = wasmBindgen().then((folder) => join(folder, 'wasm-bindgen'));
  // Whoever waits for it hears of its failure; until then nobody waits.
  binder.catch(() => {});
  return { binder, version: lockedCrate('wasm-bindgen') };
}

/** What the Worker is made of: `step`'s record of it, as `profile` compiles it. */
async function workerRecord(profile) {
  const compiler = await rust();
  const code = ['src', 'tables', '.cargo/config.toml', 'scripts/modules.mjs'];
  const sources = [...code, 'Cargo.toml', 'Cargo.lock', 'package-lock.json'];
  const inputs = fingerprint(sources, [compiler, lockedCrate('wasm-bindgen'), profile]);
  const outputs = [at('build', 'index.js'), at('build', 'index_bg.wasm')];
  return { stamp: '.cache/stamps/worker', inputs, outputs, lasts: '(two or three minutes)' };
}

/**
 * The Worker: `build/index.js` and `build/index_bg.wasm`. A server on this machine may have it compiled quickly.
 * `installed`: the npm packages, without which it is compiled and not bundled.
 */
export async function worker(profile = 'release', installed = Promise.resolve()) {
  const record = await workerRecord(profile);
  const binder = Promise.all([binding().binder, installed]).then(([program]) => program);
  binder.catch(() => {});
  const title = profile === 'release' ? 'The Worker, for release' : 'The Worker, compiled quickly';
  await step(title, record, () => buildWorker(binder, at('build'), profile));
}

/** As a release has it where that is there; otherwise quickly. */
async function workerToTry(installed) {
  await worker(isDone(await workerRecord('release')) ? 'release' : 'quick', installed);
}

/** Where the database for the browser is; `www/engine/worker.js` names it too. */
export const engineFolder = at('.cache', 'engine');

/** What the browser's module is made of: all of the crate but what only Workers have. */
export function engineSources() {
  const rooms = readdirSync(at('src')).filter((name) => name !== 'edge');
  const code = [...rooms.map((name) => join('src', name)), 'tables', '.cargo/config.toml'];
  return [...code, 'scripts/modules.mjs', 'Cargo.toml', 'Cargo.lock', 'package-lock.json'];
}

/** The same crate for the console's in-browser mode: `tidemark.js` and `tidemark_bg.wasm`. */
export async function engine() {
  const about = await aboutEngine();
  const { binder } = binding();
  await step('The database for the browser', about, () => buildEngine(binder, engineFolder));
}

/** What its step is told. */
async function aboutEngine() {
  const inputs = fingerprint(engineSources(), [await rust(), lockedCrate('wasm-bindgen')]);
  const outputs = ['tidemark.js', 'tidemark_bg.wasm'].map((name) => join(engineFolder, name));
  return { stamp: '.cache/stamps/engine', inputs, outputs, lasts: '(two or three minutes)' };
}

/**
 * Both modules at once, and wasm-bindgen beside them where it is missing: compiling one module keeps
 * one core busy for most of its time, so that on two cores this takes two thirds of one after the other.
 */
export async function modules() {
  await rust();
  await Promise.all([worker(), engine()]);
}

/** Where the Worker of SQL is; `sql/wrangler.toml` names it too. */
export const sqlFolder = at('sql', 'build');

/** What the Worker of SQL is made of: `step`'s record of it, as `profile` compiles it. */
async function sqlRecord(profile) {
  const versions = [await rust(), lockedCrate('wasm-bindgen')];
  const own = ['src', 'zstd-stub', 'Cargo.toml', 'Cargo.lock', 'stack.rs', 'worker.js'];
  const database = ['src', 'tables', 'Cargo.toml', '.cargo/config.toml', 'scripts/modules.mjs'];
  const shared = ['packages/tidemark/lib/sql_sessions.js'];
  const sources = [...own.map((name) => join('sql', name)), ...database, ...shared];
  const inputs = fingerprint(sources, [...versions, profile]);
  const outputs = ['index.js', 'index_bg.wasm', 'module.mjs'].map((name) => join(sqlFolder, name));
  const ofPage = ['sql.js', 'sql.wasm.gz'].map((name) => join(sqlPageFolder, name));
  return { stamp: '.cache/stamps/sql', inputs, outputs: [...outputs, ...ofPage] };
}

/** How long each profile takes with two cores. */
const sqlLasts = {
  quick: '(about ten minutes with two cores the first time, a minute later on)',
  release: '(about an hour with two cores)',
};

/** The profile by which a release's Worker of SQL is compiled. */
export const releaseProfile = 'release';

/**
 * The Worker of SQL, and the console with the same module for the page's own database. It is large: who develops has it
 * compiled quickly, a release small. One that was compiled for a release of these sources is as good.
 */
export async function sql(profile = 'quick') {
  const isReleased = await hasReleasedSql();
  const record = await sqlRecord(isReleased ? releaseProfile : profile);
  await step('The Worker of SQL', { ...record, lasts: sqlLasts[profile] }, () =>
    buildSql(binding().binder, { folder: sqlFolder, pageFolder: sqlPageFolder, profile }),
  );
  await consolePage();
}

/** Whether what was built is the Worker of SQL as a release has it, of these sources. */
export const hasReleasedSql = async () => isDone(await sqlRecord(releaseProfile));

/** Whether the Worker of SQL was built here. */
export const hasSql = () => existsSync(join(sqlFolder, 'module.mjs'));

/** Whether it was built of other sources than there are now. */
export async function isSqlOld() {
  if (!hasSql() || !(await hasCargo())) return false;
  return !isDone(await sqlRecord('quick')) && !(await hasReleasedSql());
}

/** Whether the modules can be built here; otherwise those of a release are taken. */
async function hasCargo() {
  const { code } = await run('cargo', ['--version'], { quiet: true });
  return code === 0;
}

/** All of it. Returns a Node that wrangler accepts. */
export async function everything() {
  await packages();
  const node = newNode();
  if (await hasCargo()) {
    await modules();
  } else {
    await prebuilt();
  }
  await consolePage();
  return node;
}

/**
 * All that a server needs: `{ node, rest }`, a Node that wrangler accepts, and what does the rest. That is the database
 * for the browser, if it has to be built: the console goes without it until then.
 */
export async function mostOfIt() {
  const isBuiltHere = await hasCargo();
  const installed = packages();
  // Whoever waits for it hears of its failure.
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
