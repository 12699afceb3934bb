// Builds SQL Workers and SQL processes whose module also runs the code of a test.

import { copyFileSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { build } from 'esbuild';

import { hasSql } from '../../scripts/modules.mjs';
import { at } from '../../scripts/project.mjs';
import { temporaryFolder } from './harness.mjs';

const staging = at('.cache', 'sql');
export const moduleOfSql = JSON.stringify(join(staging, 'index.js'));

export const moduleOfProcess = JSON.stringify(at('sql', 'build', 'module.mjs'));

/** `code` is the module of the SQL process in the folder. Returns null if SQL is not built. */
export async function processOfSql(t, code) {
  if (!hasSql()) {
    t.skip('SQL is not built: npm run sql');
    return null;
  }
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'module.mjs'), code);
  copyFileSync(at('sql', 'build', 'index_bg.wasm'), join(folder, 'index_bg.wasm'));
  return folder;
}

/** `code` is the module of the SQL Worker. Returns null if SQL is not built. */
export async function workerOfSql(t, code) {
  if (!existsSync(join(staging, 'index.js'))) {
    t.skip('SQL is not built: npm run sql');
    return null;
  }
  const folder = temporaryFolder(t);
  const shim = join(folder, 'module.js');
  writeFileSync(shim, code);
  const isOwn = (importer) => importer === at('sql', 'worker.js');
  const plugin = {
    name: 'shim',
    setup: (esbuild) =>
      esbuild.onResolve({ filter: /^\.\/index\.js$/ }, ({ importer }) => (isOwn(importer) ? { path: shim } : undefined)),
  };
  const { outputFiles } = await build({
    entryPoints: [at('sql', 'worker.js')],
    bundle: true,
    format: 'esm',
    external: ['./index_bg.wasm', 'cloudflare:*'],
    plugins: [plugin],
    write: false,
  });
  writeFileSync(join(folder, 'index.js'), outputFiles[0].text.replaceAll('import source ', 'import '));
  copyFileSync(join(staging, 'index_bg.wasm'), join(folder, 'index_bg.wasm'));
  const file = join(folder, 'wrangler.toml');
  const lines = ['name = "tidemark-sql"', 'main = "index.js"', 'compatibility_date = "2026-11-01"'];
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}
