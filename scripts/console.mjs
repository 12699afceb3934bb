// The console: www/ bundled into dist/, the folder that the Worker serves.
// Uses esbuild, which is loaded only once the packages are there.

import { createHash } from 'node:crypto';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import { at } from './project.mjs';
import { sampleLines } from './sample.mjs';
import { fingerprint, step } from './steps.mjs';

/** Where the assets go; `[assets]` of wrangler.toml names it. */
export const consoleFolder = at('dist');

/** The same to stand on a host of static files (docs/BROWSER.md). */
export const staticFolder = at('dist-static');

/** The database for the page: what wasm-bindgen made of it. */
const engineModule = at('.cache', 'engine', 'tidemark_bg.wasm');

/** SQL for the page, where `npm run sql` has built it: what calls its module, and that, packed. */
export const sqlPageFolder = at('.cache', 'sql_page');
const sqlModule = join(sqlPageFolder, 'sql.wasm.gz');

/** What www/engine/sql_asset.js says. The name changes with what is in it, as a chunk's does; null where there is none. */
export function sqlAsset() {
  if (!existsSync(sqlModule)) return null;
  const packed = readFileSync(sqlModule);
  const hash = createHash('sha256').update(packed).digest('hex').slice(0, 8);
  return { name: `sql-${hash}.wasm.gz`, bytes: packed.length };
}

/** Served as they are. */
const plainFiles = ['index.html', '_headers', 'openapi.json', 'favicon.svg'];

/** Every script that a page or a worker begins with; all others are reached from these. */
function entries() {
  return {
    main: at('www', 'main.js'),
    style: at('www', 'style.css'),
    'results/worker': at('www', 'results', 'worker.js'),
    ...(existsSync(engineModule) ? engineEntries : {}),
  };
}

/** The database in the page: its worker, and what any page takes it from (docs/BROWSER.md). */
const engineEntries = {
  'engine/engine': at('www', 'engine', 'engine.js'),
  'engine/worker': at('www', 'engine', 'worker.js'),
};

async function bundle(sql) {
  const { build } = await import('esbuild');
  // What is not built the page does without.
  const missing = [...(existsSync(engineModule) ? [] : ['#engine']), ...(sql ? [] : ['#sql'])];
  const { metafile } = await build({
    entryPoints: entries(),
    external: missing,
    define: { SQL_ASSET: JSON.stringify(sql) },
    outdir: consoleFolder,
    bundle: true,
    splitting: true,
    format: 'esm',
    target: ['chrome120', 'firefox121', 'safari17'],
    minify: true,
    // A chunk's name changes with what is in it, so that it may be kept for ever.
    chunkNames: 'chunks/[name]-[hash]',
    legalComments: 'none',
    logLevel: 'warning',
    metafile: true,
  });
  writeFileSync(join(consoleFolder, 'licences.txt'), licences(Object.keys(metafile.inputs)));
}

/** The licence of each package that a file of the bundle comes from: their text asks for that. */
function licences(files) {
  const inPackage = /node_modules\/((?:@[^/]+\/)?[^/]+)\//;
  const packages = new Set(files.map((file) => inPackage.exec(file)?.[1]).filter((name) => name));
  const texts = [...packages].sort().map((name) => {
    const text = readFileSync(at('node_modules', name, 'LICENSE'), 'utf8');
    return `${name}\n\n${text.trim()}\n`;
  });
  return `The console contains these packages.\n\n${texts.join(`\n${'-'.repeat(80)}\n\n`)}`;
}

/** The console, from www/, if anything of it changed. */
export async function consolePage() {
  const made = ['scripts/console.mjs', 'scripts/sample.mjs'];
  // A console may be made without the database for the browser, and without its SQL.
  const modules = ['.cache/engine', '.cache/sql_page'].filter((path) => existsSync(at(path)));
  const inputs = fingerprint(['www', 'package-lock.json', ...made, ...modules]);
  const outputs = [join(consoleFolder, 'main.js'), join(consoleFolder, 'index.html')];
  await step('The console', { stamp: '.cache/stamps/console', inputs, outputs }, async () => {
    empty(consoleFolder);
    mkdirSync(join(consoleFolder, 'sample'), { recursive: true });
    const sql = sqlAsset();
    await bundle(sql);
    for (const name of plainFiles) copyFileSync(at('www', name), join(consoleFolder, name));
    writeFileSync(
      join(consoleFolder, 'sample', 'weather.lp.gz'),
      gzipSync(sampleLines(), { level: 9 }),
    );
    copyEngine();
    if (sql) copyFileSync(sqlModule, join(consoleFolder, 'chunks', sql.name));
  });
}

/** The console without a server: only there does the database in the page start by itself. */
export async function staticPage() {
  empty(staticFolder);
  cpSync(consoleFolder, staticFolder, { recursive: true });
  const index = join(staticFolder, 'index.html');
  const text = readFileSync(index, 'utf8');
  const [marked, plain] = ['<html lang="en" data-place="browser">', '<html lang="en">'];
  if (!text.includes(plain)) throw new Error(`www/index.html does not begin with ${plain}`);
  writeFileSync(index, text.replace(plain, marked));
}

/** What was there goes, but the folder stays: a server that serves it would end without it. */
function empty(folder) {
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true });
}

/** The database's own module for the page, where it has been built. */
function copyEngine() {
  if (!existsSync(engineModule)) return;
  mkdirSync(join(consoleFolder, 'engine'), { recursive: true });
  copyFileSync(engineModule, join(consoleFolder, 'engine', 'tidemark_bg.wasm'));
}
