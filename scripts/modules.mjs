// The WebAssembly modules: the Worker's, the same database for the console's page, and that of SQL.
// Each is compiled by cargo, bound to JavaScript by wasm-bindgen and optimised by wasm-opt; a
// Worker's JavaScript is then bundled by esbuild, which is loaded only once the packages are there.

import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import { must } from './processes.mjs';
import { at } from './project.mjs';

const target = 'wasm32-unknown-unknown';

/** What rustc and .cargo/config.toml turn on, and the exceptions of wasm-bindgen's wrappers. */
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

/** -O1: measured gzipped, -O3 and -Oz are 7 % larger than it. Names are a sixth of the module. */
const optimiser = [
  '-O1',
  ...features.map((name) => `--enable-${name}`),
  '--strip-debug',
  '--strip-producers',
];

const targetRoot = process.env.CARGO_TARGET_DIR ?? at('target');

const kinds = {
  worker: {
    cargo: ['--features', 'edge'],
    targetFolder: targetRoot,
    // The glue of exported async functions comes from js-sys, as worker-build has it.
    env: { WASM_BINDGEN_USE_JS_SYS: '1' },
    // A module that aborted can be given a new memory: src/edge/worker.js does.
    bind: ['--target', 'module', '--experimental-reset-state-function', '--force-enable-abort-handler'],
  },
  engine: {
    cargo: ['--no-default-features', '--features', 'browser'],
    // Its own: cargo lets one build at a time into a folder, and both are built at once.
    targetFolder: join(targetRoot, 'browser'),
    env: {},
    // A worker that tabs share cannot be replaced after an abort: www/engine/worker.js begins anew.
    bind: ['--target', 'web', '--experimental-reset-state-function'],
  },
};

/** The module `from`, optimised as the product is, in `to`. */
export async function optimise(from, to) {
  const program = at('node_modules', 'binaryen', 'bin', 'wasm-opt');
  await must('Optimising it', program, [...optimiser, from, '-o', to]);
}

/**
 * Compiles a kind as `profile` says and writes `NAME.js` and `NAME_bg.wasm` into `folder`. `binder` promises the
 * program wasm-bindgen, which may be on its way while the database is compiled.
 */
async function bound(kind, binder, { folder, name, profile = 'release' }) {
  const { cargo, targetFolder, env, bind } = kinds[kind];
  const asked = ['build', '--profile', profile, '--lib', '--target', target, '--target-dir', targetFolder];
  await must('Compiling the database', 'cargo', [...asked, ...cargo], { env });
  const compiled = join(targetFolder, target, profile, 'tidemark.wasm');
  const where = ['--no-typescript', '--out-dir', folder, '--out-name', name];
  await must('Binding it to JavaScript', await binder, [...bind, ...where, compiled]);
  const module = join(folder, `${name}_bg.wasm`);
  if (profile === 'release') await optimise(module, module);
}

/** The database for the browser: `tidemark.js` and `tidemark_bg.wasm` in `folder`. */
export const buildEngine = (binder, folder) => bound('engine', binder, { folder, name: 'tidemark' });

/** The Worker, compiled as `profile` says: `index.js` and `index_bg.wasm` in `folder`. */
export async function buildWorker(binder, folder, profile) {
  // Not in `folder`: a server that watches it must not see half of a build.
  const staging = at('.cache', 'worker');
  rmSync(staging, { recursive: true, force: true });
  await bound('worker', binder, { folder: staging, name: 'index', profile });
  copyFileSync(at('src', 'edge', 'runtime.js'), join(staging, 'runtime.js'));
  await bundle(at('src', 'edge', 'worker.js'), staging, folder);
}

/**
 * SQL, compiled as `profile` says: its Worker, `index.js` and `index_bg.wasm` in `folder`, `module.mjs` there for Node, and
 * the same module for the page, `sql.js` and `sql.wasm.gz` in `pageFolder`.
 */
export async function buildSql(binder, { folder, pageFolder, profile }) {
  const targetFolder = at('sql', 'target');
  const where = ['--manifest-path', at('sql', 'Cargo.toml'), '--target-dir', targetFolder];
  const what = ['build', '--profile', profile, '--lib', '--target', target];
  await must('Compiling SQL', 'cargo', [...what, ...where]);
  const compiled = join(targetFolder, target, profile, 'tidemark_sql.wasm');
  const program = await binder;
  // wasm-opt takes eight minutes for a sixteenth of it.
  const flags = ['--experimental-reset-state-function', '--remove-name-section', '--no-typescript'];
  const bindFor = async (kind, staging) => {
    rmSync(staging, { recursive: true, force: true });
    const out = ['--target', kind, '--out-dir', staging, '--out-name', 'index'];
    await must('Binding it to JavaScript', program, [...flags, ...out, compiled]);
  };
  const staging = at('.cache', 'sql');
  await bindFor('module', staging);
  await bundle(at('sql', 'worker.js'), staging, folder);
  const ofPage = at('.cache', 'sql_of_page');
  await bindFor('web', ofPage);
  mkdirSync(pageFolder, { recursive: true });
  copyFileSync(join(ofPage, 'index.js'), join(pageFolder, 'sql.js'));
  // For Node, which loads the module in the SQL process of a machine.
  copyFileSync(join(ofPage, 'index.js'), join(folder, 'module.mjs'));
  const packed = gzipSync(readFileSync(join(ofPage, 'index_bg.wasm')), { level: 9 });
  writeFileSync(join(pageFolder, 'sql.wasm.gz'), packed);
  rmSync(ofPage, { recursive: true });
}

/** A Worker's JavaScript `entry` and what wasm-bindgen left in `staging`, as they are deployed. */
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
  // workerd takes a module's import as what is proposed to be called `import source`.
  const code = outputFiles[0].text.replaceAll('import source ', 'import ');
  mkdirSync(folder, { recursive: true });
  copyFileSync(join(staging, 'index_bg.wasm'), join(folder, 'index_bg.wasm'));
  writeFileSync(join(folder, 'index.js'), code);
}
