// Tests `tidemark export --format parquet`: files by measurement and day that pyarrow, pandas and
// DuckDB read.

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { Connection } from '../../packages/tidemark/lib/connection.mjs';
import { folderOf, ParquetExport } from '../../packages/tidemark/lib/parquet_export.mjs';
import { rowsOf } from '../../packages/tidemark/lib/parquet_footer.mjs';
import { hasSql } from '../../scripts/setup.mjs';
import { sqlConfiguration } from '../../scripts/sql-binding.mjs';
import { tidemark, token } from './harness.mjs';
import { hasPythonClients, order } from './python.mjs';

const built = { skip: hasSql() ? false : 'SQL is not built: npm run sql' };
const daySeconds = 86_400;
const firstSecond = 1_700_006_400;

test('a folder of Parquet files has every row by measurement and day, and can be continued', built, async (t) => {
  const server = await tidemark(t, { sql: sqlConfiguration });
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-parquet-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  await server.query('CREATE DATABASE d');
  const line = (name, n) => `${name},host=h${n % 3} i=${n}i,f=${n}.5 ${firstSecond + n * 3_600}`;
  const lines = Array.from({ length: 100 }, (_, n) => [line('m', n), line('öl\\ 1', n * 2)]).flat();
  await server.mustWrite(lines.join('\n'), { db: 'd', precision: 's' });
  process.env.TIDEMARK_TOKEN = token;
  const connection = new Connection({ url: server.url, data: folder });
  const run = () => new ParquetExport(connection, { folder, by: 'day', database: 'd' }).run();

  const first = await run();
  assert.deepEqual([first.rows, first.made, first.files], [200, first.files, 5 + 9]);
  const manifest = () => JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8'));
  const [{ path }] = manifest().files;
  assert.equal(rowsOf(join(folder, path)), 24);

  // An interrupted export: no manifest, some files, a truncated line, half a file.
  const kept = manifest().files.slice(0, 3).map((file) => JSON.stringify(file));
  writeFileSync(join(folder, 'files.jsonl'), `${kept.join('\n')}\n{"path":"m/20`);
  rmSync(join(folder, 'manifest.json'));
  truncateSync(join(folder, manifestPath(kept[2])), 100);
  const again = await run();
  assert.deepEqual([again.rows, again.files, again.made], [200, first.files, first.files - 2]);
  // A repeat exports only new rows.
  await server.mustWrite(line('m', 100), { db: 'd', precision: 's' });
  const later = await run();
  assert.deepEqual([later.rows, later.made], [201, 1]);
  assert.deepEqual(readdirSync(folder).sort(), ['manifest.json', folderOf('m'), folderOf('öl 1')].sort());

  if (!(await hasPythonClients(t))) return;
  const measurements = ['m', 'öl 1'];
  const folders = Object.fromEntries(measurements.map((name) => [name, folderOf(name)]));
  const { files, sums, error } = await order('parquet_folder', { action: 'read', folder, measurements, folders });
  assert.equal(error, null);
  assert.equal(files.length, first.files);
  assert.ok(files.every(([, day, rows]) => rows <= daySeconds / 3_600 && day >= '2023-11-15'));
  const sum = (numbers) => numbers.reduce((total, n) => total + n, 0);
  const m = Array.from({ length: 101 }, (_, n) => n);
  const other = Array.from({ length: 100 }, (_, n) => n * 2);
  assert.deepEqual(sums, {
    m: [101, sum(m), sum(m) + 101 * 0.5],
    'öl 1': [100, sum(other), sum(other) + 100 * 0.5],
  });
});

const manifestPath = (text) => JSON.parse(text).path;

test('an incomplete Parquet file is reported', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-parquet-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const [name, bytes] of [['empty', ''], ['short', 'PAR1'], ['long', `PAR1${'x'.repeat(40)}\x00\x00\x00\x00PAR1`], ['cut', 'PAR1xxxxxxxxxxxxxxxx']]) {
    const file = join(folder, name);
    writeFileSync(file, bytes);
    assert.throws(() => rowsOf(file), /Parquet|does not say/, name);
  }
});
