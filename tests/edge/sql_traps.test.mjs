// A trap in the Worker of SQL. No statement is known that leads to one, so its module is told to.

import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { build } from 'esbuild';

import { at } from '../../scripts/project.mjs';
import { tidemark } from './harness.mjs';

const staging = at('.cache', 'sql');
const trap = 'now it traps';

/** What the module exports, and a trap where a statement says so. */
const trapping = `
import { turn as answers } from ${JSON.stringify(join(staging, 'index.js'))};
export * from ${JSON.stringify(join(staging, 'index.js'))};
export function turn(session, message) {
  if (!new TextDecoder().decode(message).includes('${trap}')) return answers(session, message);
  throw new WebAssembly.RuntimeError('unreachable');
}`;

/** The configuration of a Worker of SQL in `folder` that can be told to trap. */
async function trappingWorker(folder) {
  const shim = join(folder, 'module.js');
  writeFileSync(shim, trapping);
  const isOwn = (importer) => importer === at('sql', 'worker.js');
  const plugin = {
    name: 'trap',
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

test('after a trap the next statement is answered', async (t) => {
  if (!existsSync(join(staging, 'index.js'))) return t.skip('SQL is not built: npm run sql');
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-sql-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const it = await tidemark(t, { sql: await trappingWorker(folder) });
  await it.query('CREATE DATABASE d');
  const rows = Array.from({ length: 1_000 }, (_, n) => `m n=${n}i ${n}`);
  await it.mustWrite(rows.join('\n'), { db: 'd' });
  const ask = (q, format = 'json') => {
    const search = new URLSearchParams({ db: 'd', q, format });
    return it.fetch(`/api/v3/query_sql?${search}`);
  };
  const count = async () => (await ask('SELECT count(*) AS c FROM m')).json();
  assert.deepEqual(await count(), [{ c: 1_000 }]);
  // One that runs meanwhile, and whose memory goes.
  const beside = await ask('SELECT a.n, b.n AS m FROM m a CROSS JOIN m b', 'jsonl');
  const reader = beside.body.getReader();
  await reader.read();
  const trapped = await ask(`SELECT '${trap}'`);
  assert.equal(trapped.status, 503);
  assert.match((await trapped.json()).error, /used up its stack or its memory/);
  await assert.rejects(async () => {
    while (!(await reader.read()).done);
  });
  assert.deepEqual(await count(), [{ c: 1_000 }]);
  const both = await Promise.all([count(), count(), count()]);
  assert.deepEqual(both, Array(3).fill([{ c: 1_000 }]));
});
