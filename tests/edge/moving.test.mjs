// Tests the steps in docs/MOVING.md: data of other servers is imported completely and compared.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';

import { at } from '../../scripts/project.mjs';
import { sqlConfiguration } from '../../sql/process/binding.mjs';
import { startInfluxd } from '../record/influxd.mjs';
import { blocksOf } from './blocks.mjs';
import { command } from './commands.mjs';
import { databaseToken, has, PlainWorkerd, temporaryFolder, tidemark, withoutSql } from './harness.mjs';
import { hasPythonClients, pythonProgram } from './python.mjs';

const given = (name) => at('tests', 'data', 'moving', name);

const load = ({ url }, words, secret) => command(['import', ...words], { url, secret });

async function mustLoad(server, words) {
  const { code, said } = await load(server, words);
  assert.equal(code, 0, said);
  return said;
}

const exported = async (server, search) => (await server.fetch(`/api/v3/export?${search}`)).text();

test('1.x: an export of influx_inspect gives the same points as in 1.x', async (t) => {
  const server = await tidemark(t, {}, PlainWorkerd);
  const path = join(temporaryFolder(t), 'export.txt');
  copyFileSync(given('influx_inspect.txt'), path);
  const said = await mustLoad(server, [path]);
  assert.match(said, /, 14 points written, 0 lines rejected, /);
  // A value that is both in the log and in the files must count only once. The output must equal
  // the output in docs/MOVING.md.
  const { text } = blocksOf(readFileSync(at('docs', 'MOVING.md'), 'utf8')).find(({ language }) => language === 'text');
  assert.match(text, /9 values in the file, 8 in the database/);
  for (const line of text.trimEnd().split('\n')) assert.ok(said.split('\n').includes(line), said);
  assert.match(said, /^The database has fewer values if lines were rejected /m);

  if (!has(t, 'influxd', ['version'])) return;
  const theirs = await startInfluxd();
  t.after(() => theirs.stop());
  const post = async (route, search, body) => {
    const response = await fetch(`${theirs.url}${route}?${new URLSearchParams(search)}`, { method: 'POST', body });
    assert.ok(response.ok, `${response.status} ${await response.text()}`);
  };
  await post('/query', { q: 'CREATE DATABASE plant; CREATE DATABASE "two words"' });
  await post('/query', { q: 'CREATE RETENTION POLICY year ON plant DURATION INF REPLICATION 1' });
  // `influx -import` creates no retention policy, and splits a text at its line break.
  const sections = readFileSync(path, 'utf8').split('# CONTEXT-DATABASE:').slice(1);
  for (const section of sections) {
    const [, db, rp, body] = /^(.+)\n# CONTEXT-RETENTION-POLICY:(.+)\n([^]*)$/.exec(section);
    await post('/write', { db, rp }, body);
  }
  const tables = [
    ['plant', 'autogen', 'air'], ['plant', 'autogen', 'count,ed'], ['plant', 'autogen', 'no tags'],
    ['plant', 'year', 'air_mean'], ['two words', 'autogen', 'm'],
  ];
  for (const [db, rp, name] of tables) {
    const q = `SELECT * FROM "${rp}"."${name}" GROUP BY *`;
    const search = new URLSearchParams({ db, q, epoch: 'ns' });
    const there = await (await fetch(`${theirs.url}/query?${search}`)).text();
    const here = await (await server.fetch(`/query?${search}`)).text();
    assert.deepEqual(JSON.parse(here), JSON.parse(there), `${db}.${rp}.${name}`);
    assert.match(here, /"values"/);
  }
});

test('2.x: the export of a bucket by influxd inspect export-lp is imported into a policy', async (t) => {
  const server = await tidemark(t, {}, PlainWorkerd);
  const path = join(temporaryFolder(t), 'bucket.lp.gz');
  writeFileSync(path, gzipSync(readFileSync(given('export_lp.lp'))));
  await server.query('CREATE DATABASE plant');
  await server.query('CREATE RETENTION POLICY year ON plant DURATION INF REPLICATION 1');
  const said = await mustLoad(server, ['--database', 'plant', '--policy', 'year', path]);
  assert.match(said, /^compared 2 measurements: 7 values in the file, 6 in the database$/m);
  assert.equal(
    await exported(server, 'db=plant&rp=year'),
    'air,room=a,side=north open=true,temp=21.5 1700000000000000000\n' +
      'air,room=a,side=north temp=1000000 1700000060000000001\n' +
      'air,room=b temp=-0.25 1700000000000000000\n' +
      'air,room=b temp=3 1700000120000000000\n' +
      'count,room=b n=9007199254740993i 1700000000000000000\n',
  );
  assert.equal(await exported(server, 'db=plant'), '', 'nothing in the default policy');
  const again = await mustLoad(server, ['--database', 'other', path]);
  assert.match(again, /^created database "other", which/m);
  assert.match(again, /6 in the database$/m);
  const refused = await load(server, ['--policy', 'year', path]);
  assert.deepEqual([refused.code, /add --database/.test(refused.said)], [1, true]);
});

const lines = `air,room=a\\ 1,side=n=orth temp=21,n=1i 1700000000000000000
air,room=b temp=1e300,n=9007199254740993i,text="a \\"b\\" \\\\c",open=true 1700000060000000001
air temp=-0.125 -1
`.replace('n=orth', 'n\\=orth');

test('3: rows of query_sql are imported from JSON lines, and from Parquet with DuckDB', async (t) => {
  if (withoutSql) return t.skip(withoutSql);
  const server = await tidemark(t, { sql: sqlConfiguration });
  await server.query('CREATE DATABASE three');
  await server.mustWrite(lines, { db: 'three' });
  const before = await exported(server, 'db=three');
  assert.equal(before.split('\n').length, 4, before);
  const ask = (q, format) => server.fetch(`/api/v3/query_sql?${new URLSearchParams({ db: 'three', q, format })}`);
  // Finds out which columns are tags, in the way that docs/MOVING.md describes.
  const tags = `SELECT column_name FROM information_schema.columns
    WHERE table_name = 'air' AND data_type LIKE 'Dictionary%' ORDER BY column_name`;
  const names = (await (await ask(tags, 'json')).json()).map((row) => row.column_name);
  assert.deepEqual(names, ['room', 'side']);
  const folder = temporaryFolder(t);
  const rows = join(folder, 'air.jsonl');
  writeFileSync(rows, await (await ask('SELECT * FROM air', 'jsonl')).text());
  const words = (db, path) => ['--database', db, '--measurement', 'air', '--tags', names.join(','), path];
  const said = await mustLoad(server, words('of_lines', rows));
  assert.match(said, /^compared 1 measurement: 7 values in the file, 7 in the database, with equal counts for each measurement$/m);
  assert.equal(await exported(server, 'db=of_lines'), before);

  if (!(await hasPythonClients(t))) return;
  const [parquet, made] = [join(folder, 'air.parquet'), join(folder, 'made.jsonl')];
  writeFileSync(parquet, Buffer.from(await (await ask('SELECT * FROM air', 'parquet')).arrayBuffer()));
  const page = readFileSync(at('docs', 'MOVING.md'), 'utf8');
  const [, copy] = /^duckdb -c "(COPY .*)"$/m.exec(page) ?? assert.fail('the page has the statement');
  const statement = copy.replace('air.parquet', parquet).replace('air.jsonl', made);
  await promisify(execFile)(pythonProgram, ['-c', 'import sys, duckdb; duckdb.sql(sys.argv[1])', statement]);
  await mustLoad(server, words('of_parquet', made));
  assert.equal(await exported(server, 'db=of_parquet'), before);
});

test('an invalid row is reported, and no value is guessed', async (t) => {
  const row = (more) => JSON.stringify({ time: '2023-11-14T22:13:20', ...more });
  const server = await tidemark(t, {}, PlainWorkerd);
  const path = join(temporaryFolder(t), 'rows.jsonl');
  writeFileSync(path, `${row({ v: 1 })}\n${row({ a: 'x' })}\n`);
  const { code, said } = await load(server, ['--database', 'd', '--measurement', 'm', '--tags', 'a', path]);
  assert.deepEqual([code, /line 2 cannot be imported: the row has no field/.test(said)], [1, true], said);
  const alone = await load(server, ['--database', 'd', '--tags', 'a', path]);
  assert.match(alone.said, /add --measurement/);
});

test('an import with a token that cannot read skips the comparison', async (t) => {
  // An import without read permission skips the comparison, but loses no points.
  const server = await tidemark(t, {}, PlainWorkerd);
  await server.query('CREATE DATABASE d');
  const path = join(temporaryFolder(t), 'lines.lp');
  writeFileSync(path, 'm v=1 1\n');
  const { code, said } = await load(server, ['--database', 'd', path], await databaseToken(server, 'd', { actions: ['write'] }));
  assert.equal(code, 0, said);
  assert.match(said, /^not compared with the database: /m);
});
