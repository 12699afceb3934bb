// Builds the WebAssembly modules: the Worker, the same database for the console's page, and SQL. Cargo compiles a module,
// wasm-bindgen generates its JavaScript, wasm-opt makes a release smaller, and esbuild bundles the JavaScript.

import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import { isCurrent, step } from './freshness.mjs';
import { must } from './processes.mjs';
import { at, targetFolder } from './project.mjs';

const target = 'wasm32-unknown-unknown';

/** The folder of the Worker, which `wrangler.toml` also names. */
export const workerFolder = at('build');

/** The folder of the browser's module. `www/engine/worker.js` contains the same path. */
export const engineFolder = at('.cache', 'engine');

/** The folder of the SQL Worker. `sql/wrangler.toml` contains the same path. */
export const sqlFolder = at('sql', 'build');

/** The folder of the page's SQL module. */
export const sqlPageFolder = at('.cache', 'sql_page');

/** The sources of the Worker and of the browser's module, to find out whether a release build is current. */
const sources = ['src', 'crates', '.cargo/config.toml', 'Cargo.toml', 'Cargo.lock', 'package-lock.json', 'scripts/modules.mjs'];

/**
 * The WebAssembly features that wasm-opt must accept. wasm-bindgen's wrappers use exception
 * handling. rustc and .cargo/config.toml enable the other features.
 */
const features = [
  'simd',
  'bulk-memory',
  'sign-ext',
  'mutable-globals',
  'nontrapping-float-to-int',
  'reference-types',
  'multivalue',
  'exception-handling',
];

/**
 * The options of wasm-opt. With -O3 or -Oz, the gzipped module would be 7 % larger. Function names
 * would make up a sixth of its size, so they are removed.
 */
const optimiser = [
  '-O1',
  ...features.map((name) => `--enable-${name}`),
  '--strip-debug',
  '--strip-producers',
];

/** Uses the options of a release. */
export async function optimise(from, to) {
  const program = at('node_modules', 'binaryen', 'bin', 'wasm-opt');
  await must('Optimising it', program, [...optimiser, from, '-o', to]);
}

const compiled = (profile, name) => join(targetFolder, target, profile, name);

/** A folder of modules contains the name of the profile with which they were built. */
const profileOf = (folder) => {
  const file = join(folder, 'profile');
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
};

/** Compiles wasm-bindgen, which takes less than half the time of the package wasm-bindgen-cli. */
async function bindgen() {
  await must('Compiling the JavaScript generator', 'cargo', ['build', '--locked', '-p', 'bindgen']);
  return join(targetFolder, 'debug', 'bindgen');
}

/** Writes `NAME.js` and `NAME_bg.wasm` into `folder`, which it empties first. */
async function bind(binder, options, folder, name, module) {
  rmSync(folder, { recursive: true, force: true });
  await must('Generating the JavaScript', binder, [...options, '--out-dir', folder, '--out-name', name, module]);
  return join(folder, `${name}_bg.wasm`);
}

/** The files of the Worker, and those of the browser's module. */
const outputs = [
  ...['index.js', 'index_bg.wasm', 'profile'].map((name) => join(workerFolder, name)),
  ...['tidemark.js', 'tidemark_bg.wasm'].map((name) => join(engineFolder, name)),
];

export const hasReleasedModules = () => profileOf(workerFolder) === 'release' && isCurrent(outputs, sources);

/**
 * Builds the Worker and the browser's module with one command, so that cargo compiles the database once for both. A
 * local server may use the profile `quick`, except if a release build is current. Only the bundling waits for
 * `installed`, which resolves after the npm packages are installed.
 */
export async function modules(profile = 'release', installed = Promise.resolve()) {
  const used = profile === 'quick' && hasReleasedModules() ? 'release' : profile;
  const binder = bindgen();
  // Prevents unhandled rejections until the promises are awaited.
  for (const promise of [binder, installed]) promise.catch(() => {});
  const args = ['build', '--locked', '--profile', used, '--target', target, '--lib', '-p', 'tidemark', '-p', 'tidemark-browser'];
  // Lets js-sys generate the wrappers of exported async functions, as worker-build does.
  await must('Compiling the database', 'cargo', args, { env: { WASM_BINDGEN_USE_JS_SYS: '1' } });
  const [worker, engine] = ['tidemark.wasm', 'tidemark_browser.wasm'].map((name) => compiled(used, name));
  const inputs = [worker, engine, 'src/runtime.js', 'src/worker.js', 'package-lock.json', 'scripts/modules.mjs'];
  if (profileOf(workerFolder) !== used) rmSync(join(workerFolder, 'profile'), { force: true });
  await step(`The Worker and the browser's module, ${used}`, { outputs, inputs }, async () => {
    const [program] = await Promise.all([binder, installed]);
    await Promise.all([bindWorker(program, worker, used), bindEngine(program, engine, used)]);
    writeFileSync(join(workerFolder, 'profile'), used);
  });
}

async function bindWorker(program, module, profile) {
  // A server that watches the folder `build` must never see an incomplete build.
  const staging = at('.cache', 'worker');
  // Exports the function with which src/worker.js resets the memory of an aborted module.
  const options = ['--target', 'module', '--experimental-reset-state-function', '--force-enable-abort-handler'];
  const bound = await bind(program, options, staging, 'index', module);
  if (profile === 'release') await optimise(bound, bound);
  copyFileSync(at('src', 'runtime.js'), join(staging, 'runtime.js'));
  await bundle(at('src', 'worker.js'), staging, workerFolder);
}

async function bindEngine(program, module, profile) {
  // Tabs share one worker, which cannot be replaced after an abort, so the module is reset.
  const bound = await bind(program, ['--target', 'web', '--experimental-reset-state-function'], engineFolder, 'tidemark', module);
  if (profile === 'release') await optimise(bound, bound);
}

export const hasSql = () => existsSync(join(sqlFolder, 'module.mjs'));

const sqlOutputs = [
  ...['index.js', 'index_bg.wasm', 'module.mjs', 'profile'].map((name) => join(sqlFolder, name)),
  ...['sql.js', 'sql.wasm.gz'].map((name) => join(sqlPageFolder, name)),
];

const sqlScripts = ['sql/worker.js', 'sql/sessions.js', 'package-lock.json', 'scripts/modules.mjs'];
const sqlSources = ['sql/src', 'sql/Cargo.toml', 'sql/stack.rs', ...sqlScripts, ...sources.filter((path) => path !== 'src')];

/** Returns whether the sources have changed since the SQL Worker was built. */
export const isSqlOld = () => hasSql() && !isCurrent(sqlOutputs, sqlSources);

export const hasReleasedSql = () => profileOf(sqlFolder) === 'sql' && !isSqlOld();

/**
 * Builds the SQL Worker and `module.mjs` for Node, and the page's module. The profile is `sql` for a release or
 * `sql-quick`. A quick build never replaces a current release build.
 */
export async function sql(profile) {
  const used = hasReleasedSql() ? 'sql' : profile;
  const binder = bindgen();
  binder.catch(() => {});
  console.log(`- SQL, compiled with the profile ${used} … (the first time ${used === 'sql' ? 'about an hour' : 'about five minutes'} with two cores)`);
  const args = ['rustc', '--locked', '--profile', used, '--target', target, '--lib', '--crate-type', 'cdylib', '-p', 'tidemark-sql'];
  await must('Compiling SQL', 'cargo', args);
  const module = compiled(used, 'tidemark_sql.wasm');
  if (profileOf(sqlFolder) !== used) rmSync(join(sqlFolder, 'profile'), { force: true });
  await step('The SQL Worker', { outputs: sqlOutputs, inputs: [module, ...sqlScripts] }, async () => {
    await bindSql(await binder, module, used);
    writeFileSync(join(sqlFolder, 'profile'), used);
  });
}

async function bindSql(program, module, profile) {
  // wasm-opt would take eight minutes and make the module only a sixteenth smaller.
  const flags = ['--experimental-reset-state-function', '--remove-name-section'];
  const [staging, ofPage] = [at('.cache', 'sql'), at('.cache', 'sql_of_page')];
  const bindFor = (kind, folder) => bind(program, [...flags, '--target', kind], folder, 'index', module);
  await Promise.all([bindFor('module', staging), bindFor('web', ofPage)]);
  await bundle(at('sql', 'worker.js'), staging, sqlFolder);
  mkdirSync(sqlPageFolder, { recursive: true });
  copyFileSync(join(ofPage, 'index.js'), join(sqlPageFolder, 'sql.js'));
  // Node loads this file in the local SQL process.
  copyFileSync(join(ofPage, 'index.js'), join(sqlFolder, 'module.mjs'));
  // Level 9 takes three times as long and makes the file 2 % smaller.
  const packed = gzipSync(readFileSync(join(ofPage, 'index_bg.wasm')), { level: profile === 'sql' ? 9 : 6 });
  writeFileSync(join(sqlPageFolder, 'sql.wasm.gz'), packed);
  rmSync(ofPage, { recursive: true });
}

/** Bundles the JavaScript in `staging`, the output of wasm-bindgen. Does not run wasm-opt. */
async function bundle(entry, staging, folder) {
  copyFileSync(entry, join(staging, 'worker.js'));
  // A static import would fail before the packages are installed.
  const { build } = await import('esbuild');
  const { outputFiles } = await build({
    entryPoints: [join(staging, 'worker.js')],
    bundle: true,
    format: 'esm',
    minify: true,
    external: ['./index_bg.wasm', 'cloudflare:*'],
    legalComments: 'none',
    logLevel: 'warning',
    write: false,
  });
  // The runtime workerd uses a plain `import` of a module in place of the proposed `import source`.
  const code = outputFiles[0].text.replaceAll('import source ', 'import ');
  mkdirSync(folder, { recursive: true });
  copyFileSync(join(staging, 'index_bg.wasm'), join(folder, 'index_bg.wasm'));
  writeFileSync(join(folder, 'index.js'), code);
}
