// Bundles the console from www/ into dist/, the folder that the Worker serves. Imports esbuild
// dynamically, because the packages may not be installed yet.

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

import { isCurrent, step } from './freshness.mjs';
import { engineFolder, sqlPageFolder } from './modules.mjs';
import { at } from './project.mjs';
import { sampleLines } from './sample.mjs';
import { addSite, built as siteFolder } from '../docs/site/site.mjs';

/** The folder of the built console, which `[assets]` of wrangler.toml also names. */
export const consoleFolder = at('dist');

/** The console for a static file host (docs/BROWSER.md). */
export const staticFolder = at('dist-static');

/** The console with the documentation site. `npm start` and `npm run deploy` serve this folder. */
export const servedFolder = at('.cache', 'console');

const engineModule = join(engineFolder, 'tidemark_bg.wasm');
const sqlModule = join(sqlPageFolder, 'sql.wasm.gz');

/**
 * Returns the name and the size of the page's SQL module, or null if SQL was not built. The name
 * contains a hash of the content.
 */
export function sqlAsset() {
  if (!existsSync(sqlModule)) return null;
  const packed = readFileSync(sqlModule);
  const hash = createHash('sha256').update(packed).digest('hex').slice(0, 8);
  return { name: `sql-${hash}.wasm.gz`, bytes: packed.length };
}

const plainFiles = ['index.html', '_headers', 'openapi.json', 'favicon.svg'];

function entries() {
  return {
    main: at('www', 'main.js'),
    style: at('www', 'style.css'),
    'results/worker': at('www', 'results', 'worker.js'),
    ...(existsSync(engineModule) ? engineEntries : {}),
  };
}

/** The database in the page: its worker, and the module for pages (docs/BROWSER.md). */
const engineEntries = {
  'engine/engine': at('www', 'engine', 'engine.js'),
  'engine/worker': at('www', 'engine', 'worker.js'),
};

async function bundle(sql) {
  const { build } = await import('esbuild');
  // Treats modules that were not built as external.
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
    // The chunk's name contains a hash of its content, so browsers may cache it permanently.
    chunkNames: 'chunks/[name]-[hash]',
    legalComments: 'none',
    logLevel: 'warning',
    metafile: true,
  });
  writeFileSync(join(consoleFolder, 'licences.txt'), licences(Object.keys(metafile.inputs)));
}

/**
 * Returns the text of the licences of the bundled packages. These licences require that their text
 * is distributed.
 */
function licences(files) {
  const inPackage = /node_modules\/((?:@[^/]+\/)?[^/]+)\//;
  const packages = new Set(files.map((file) => inPackage.exec(file)?.[1]).filter((name) => name));
  const texts = [...packages].sort().map((name) => {
    const text = readFileSync(at('node_modules', name, 'LICENSE'), 'utf8');
    return `${name}\n\n${text.trim()}\n`;
  });
  return `The console contains these packages.\n\n${texts.join(`\n${'-'.repeat(80)}\n\n`)}`;
}

export async function consolePage() {
  const made = ['scripts/console.mjs', 'scripts/sample.mjs'];
  const inputs = ['www', 'package-lock.json', ...made, ...[engineModule, sqlModule].filter(existsSync)];
  const outputs = [join(consoleFolder, 'main.js'), join(consoleFolder, 'index.html')];
  await step('The console', { inputs, outputs }, async () => {
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

/**
 * Builds the console for a static file host. Only this console starts the database in the page
 * automatically.
 */
export async function staticPage() {
  empty(staticFolder);
  cpSync(consoleFolder, staticFolder, { recursive: true });
  const index = join(staticFolder, 'index.html');
  const text = readFileSync(index, 'utf8');
  const [marked, plain] = ['<html lang="en" data-place="browser">', '<html lang="en">'];
  if (!text.includes(plain)) throw new Error(`www/index.html does not begin with ${plain}`);
  writeFileSync(index, text.replace(plain, marked));
  addSite(staticFolder);
}

/**
 * Copies the console and the documentation site into the served folder. Writes nothing if neither
 * has changed, because wrangler restarts the Worker after each change in the folder.
 */
export function servedPage() {
  if (isCurrent([join(servedFolder, 'index.html')], [consoleFolder, siteFolder].filter(existsSync))) return;
  empty(servedFolder);
  cpSync(consoleFolder, servedFolder, { recursive: true });
  addSite(servedFolder);
}

/**
 * Deletes the contents of a folder, but not the folder itself, because a server of the folder would
 * stop without it.
 */
function empty(folder) {
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true });
}

function copyEngine() {
  if (!existsSync(engineModule)) return;
  mkdirSync(join(consoleFolder, 'engine'), { recursive: true });
  copyFileSync(engineModule, join(consoleFolder, 'engine', 'tidemark_bg.wasm'));
}
