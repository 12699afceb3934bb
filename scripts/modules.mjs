// Builds the WebAssembly modules: the Worker, the same database for the console's page, and SQL.
// esbuild is imported dynamically, because the packages may not be installed yet.

import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import { must } from './processes.mjs';
import { at } from './project.mjs';

const target = 'wasm32-unknown-unknown';

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

const targetRoot = process.env.CARGO_TARGET_DIR ?? at('target');

const kinds = {
  worker: {
    crate: 'tidemark',
    targetFolder: targetRoot,
    // Lets js-sys generate the wrappers of exported async functions, as worker-build does.
    env: { WASM_BINDGEN_USE_JS_SYS: '1' },
    // Exports the function with which src/worker.js resets the memory of an aborted module.
    bind: ['--target', 'module', '--experimental-reset-state-function', '--force-enable-abort-handler'],
  },
  engine: {
    crate: 'tidemark-browser',
    // cargo allows only one build at a time in a folder, and both builds run in parallel.
    targetFolder: join(targetRoot, 'browser'),
    env: {},
    // Tabs share one worker, which cannot be replaced after an abort, so the module is reset.
    bind: ['--target', 'web', '--experimental-reset-state-function'],
  },
};

/** Uses the options of a release. */
export async function optimise(from, to) {
  const program = at('node_modules', 'binaryen', 'bin', 'wasm-opt');
  await must('Optimising it', program, [...optimiser, from, '-o', to]);
}

/**
 * Compiles a module and runs wasm-bindgen. `binder` is a promise of the path of wasm-bindgen,
 * because its installation may run during the compilation.
 */
async function bound(kind, binder, { folder, name, profile = 'release' }) {
  const { crate, targetFolder, env, bind } = kinds[kind];
  const asked = ['build', '-p', crate, '--profile', profile, '--lib', '--target', target, '--target-dir', targetFolder];
  await must('Compiling the database', 'cargo', asked, { env });
  const compiled = join(targetFolder, target, profile, `${crate.replace('-', '_')}.wasm`);
  const where = ['--out-dir', folder, '--out-name', name];
  await must('Binding it to JavaScript', await binder, [...bind, ...where, compiled]);
  const module = join(folder, `${name}_bg.wasm`);
  if (profile === 'release') await optimise(module, module);
}

/** Writes `tidemark.js` and `tidemark_bg.wasm` into `folder`. */
export const buildEngine = (binder, folder) => bound('engine', binder, { folder, name: 'tidemark' });

/** Writes `index.js` and `index_bg.wasm` into `folder`. */
export async function buildWorker(binder, folder, profile) {
  // A server that watches `folder` must never see an incomplete build.
  const staging = at('.cache', 'worker');
  rmSync(staging, { recursive: true, force: true });
  await bound('worker', binder, { folder: staging, name: 'index', profile });
  copyFileSync(at('src', 'runtime.js'), join(staging, 'runtime.js'));
  await bundle(at('src', 'worker.js'), staging, folder);
}

/**
 * Writes the Worker and `module.mjs` for Node into `folder`, and the page's module into
 * `pageFolder`.
 */
export async function buildSql(binder, { folder, pageFolder, profile }) {
  const targetFolder = at('sql', 'target');
  const where = ['--manifest-path', at('sql', 'Cargo.toml'), '--target-dir', targetFolder];
  // In this workspace, the profile `release` is for the native host (native/Cargo.toml).
  const cargoProfile = profile === 'release' ? 'module' : profile;
  const what = ['build', '--profile', cargoProfile, '--lib', '--target', target];
  await must('Compiling SQL', 'cargo', [...what, ...where]);
  const compiled = join(targetFolder, target, cargoProfile, 'tidemark_sql.wasm');
  const program = await binder;
  // wasm-opt would take eight minutes and make the module only a sixteenth smaller.
  const flags = ['--experimental-reset-state-function', '--remove-name-section'];
  const bindFor = async (kind, staging) => {
    rmSync(staging, { recursive: true, force: true });
    const out = ['--target', kind, '--out-dir', staging, '--out-name', 'index'];
    await must('Binding it to JavaScript', program, [...flags, ...out, compiled]);
  };
  const [staging, ofPage] = [at('.cache', 'sql'), at('.cache', 'sql_of_page')];
  // Each call takes half a minute on one core.
  await Promise.all([bindFor('module', staging), bindFor('web', ofPage)]);
  await bundle(at('sql', 'worker.js'), staging, folder);
  mkdirSync(pageFolder, { recursive: true });
  copyFileSync(join(ofPage, 'index.js'), join(pageFolder, 'sql.js'));
  // Node loads this file in the local SQL process.
  copyFileSync(join(ofPage, 'index.js'), join(folder, 'module.mjs'));
  const packed = gzipSync(readFileSync(join(ofPage, 'index_bg.wasm')), { level: 9 });
  writeFileSync(join(pageFolder, 'sql.wasm.gz'), packed);
  rmSync(ofPage, { recursive: true });
}

/** Bundles the JavaScript in `staging`, the output of wasm-bindgen. Does not run wasm-opt. */
async function bundle(entry, staging, folder) {
  copyFileSync(entry, join(staging, 'worker.js'));
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
