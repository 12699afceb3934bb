// Tests `tidemark export --format parquet`. The command writes one file per measurement and day,
// which pyarrow, pandas and DuckDB can read.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { sqlConfiguration } from '../../sql/process/binding.mjs';
import { command } from './commands.mjs';
import { temporaryFolder, tidemark, withoutSql } from './harness.mjs';
import { hasPythonClients, order } from './python.mjs';

const built = { skip: withoutSql };
const folders = { m: 'm', 'öl 1': '=c3=b6l=201' };
const daySeconds = 86_400;
const firstSecond = 1_700_006_400;

test('a folder of Parquet files contains every row by measurement and day, and an export can continue', built, async (t) => {
  const server = await tidemark(t, { sql: sqlConfiguration });
  const folder = temporaryFolder(t);
  await server.query('CREATE DATABASE d');
  const line = (name, n) => `${name},host=h${n % 3} i=${n}i,f=${n}.5 ${firstSecond + n * 3_600}`;
  const lines = Array.from({ length: 100 }, (_, n) => [line('m', n), line('öl\\ 1', n * 2)]).flat();
  await server.mustWrite(lines.join('\n'), { db: 'd', precision: 's' });
  const run = async () => {
    const words = ['export', '--database', 'd', '--format', 'parquet', folder];
    const { code, said } = await command(words, { url: server.url });
    assert.equal(code, 0, said);
    const [, files, rows, made] = /^(\d+) files with (\d+) rows, .*; (\d+) of them are new\. \S*manifest\.json lists them\.$/m.exec(said);
    return { files: Number(files), rows: Number(rows), made: Number(made) };
  };

  const first = await run();
  assert.deepEqual([first.rows, first.made, first.files], [200, first.files, 5 + 9]);
  const manifest = () => JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8'));
  assert.equal(manifest().files[0].rows, 24);

  // Simulates an interrupted export: no manifest, a truncated line, and half a file.
  const kept = manifest().files.slice(0, 3).map((file) => JSON.stringify(file));
  writeFileSync(join(folder, 'files.jsonl'), `${kept.join('\n')}\n{"path":"m/20`);
  rmSync(join(folder, 'manifest.json'));
  truncateSync(join(folder, manifestPath(kept[2])), 100);
  const again = await run();
  assert.deepEqual([again.rows, again.files, again.made], [200, first.files, first.files - 2]);
  await server.mustWrite(line('m', 100), { db: 'd', precision: 's' });
  const later = await run();
  assert.deepEqual([later.rows, later.made], [201, 1]);
  assert.deepEqual(readdirSync(folder).sort(), ['manifest.json', ...Object.values(folders)].sort());

  if (!(await hasPythonClients(t))) return;
  const measurements = ['m', 'öl 1'];
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
