// Measures the fifteen query types of TSBS in SQL, alternating with InfluxQL, on the native host or
// on the Worker. Also measures DataFusion and DuckDB from PyPI. They read the same rows from a
// Parquet file that Tidemark has exported. Then measures all rows in each format.

import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { hasPythonClients, order } from '../tests/edge/python.mjs';
import { open } from './connection.mjs';
import { median } from './ingest.mjs';
import { db, fill, geometricMean } from './queries.mjs';
import { types } from './query_types.mjs';
import { circumstances, record } from './results.mjs';
import { unpacked } from './servers.mjs';
import { random } from './tsbs.mjs';

const data = { hosts: 100, hours: 24 };
/**
 * The number of queries of each type. It is smaller than for InfluxQL, because the peers receive
 * the texts of all queries in one line.
 */
const queriesOfType = 9;
const slowOfType = 5;
const formats = ['json', 'jsonl', 'csv', 'parquet', 'arrow'];

const pathOf = (route, more) => `${route}?${new URLSearchParams({ db, ...more })}`;

/** Returns a comparable row. Rounds numbers, because the last digits of averages may differ. */
function rowOf(time, cells) {
  const numbers = cells.filter((cell) => typeof cell === 'number').map((n) => n.toPrecision(9));
  return `${time.replace('Z', '')} ${numbers.sort().join(' ')}`;
}

/** Returns the rows of an InfluxQL response, without empty windows, which SQL does not return. */
const rowsOfInfluxql = (text) =>
  JSON.parse(text)
    .results[0].series?.flatMap(({ values }) => values)
    .filter(([, ...cells]) => cells.some((cell) => cell !== null))
    .map(([time, ...cells]) => rowOf(time, cells)) ?? [];

const rowsOfSql = (text) =>
  JSON.parse(text).map(({ bin, time = bin, ...cells }) => rowOf(time, Object.values(cells)));

function compare(influxql, sql, q) {
  const [expected, found] = [rowsOfInfluxql(influxql).sort(), rowsOfSql(sql).sort()];
  const at = expected.findIndex((row, i) => row !== found[i]);
  if (at >= 0 || expected.length !== found.length) {
    throw new Error(`${q}\n${expected.length} rows, ${found.length} in SQL: ${expected[at]} | ${found[at]}`);
  }
}

/** Returns the median milliseconds of both languages, and the texts of the SQL queries. */
async function measure(type, connection) {
  const seed = type.name.length * 31 + type.name.charCodeAt(0);
  const draws = [random(seed), random(seed)].map((draw) => ({ ...data, draw }));
  const times = [[], []];
  const texts = [];
  for (let turn = 0; turn < (type.slow ? slowOfType : queriesOfType); turn++) {
    const [q, sql] = [type.text(draws[0]), type.sql(draws[1])];
    const influxql = await connection.ask(pathOf('/query', { q }));
    const answer = await connection.ask(pathOf('/api/v3/query_sql', { q: sql, format: 'json' }));
    if (answer.status !== 200) throw new Error(`${sql}: ${answer.status} ${answer.body()}`);
    compare(influxql.body(), answer.body(), sql);
    [influxql, answer].forEach(({ ms }, i) => times[i].push(ms));
    texts.push(sql);
  }
  return { times: times.map(median), texts };
}

/** Returns `{ seconds, bytes }`. If `file` is given, writes the response to this file. */
async function all(server, format, file) {
  const path = pathOf('/api/v3/query_sql', { q: 'SELECT * FROM cpu', format });
  const from = performance.now();
  const reply = await fetch(server.url + path, { headers: { ...server.headers, ...unpacked } });
  const body = Buffer.from(await reply.arrayBuffer());
  const seconds = (performance.now() - from) / 1000;
  if (!reply.ok) throw new Error(`${format}: ${reply.status} ${body}`);
  if (file) writeFileSync(file, body);
  return { seconds, bytes: body.length };
}

async function formatTable(server, points) {
  const rows = [];
  for (const format of formats) {
    const { seconds, bytes } = await all(server, format);
    const cells = [points / seconds / 1000, bytes / 1e6, bytes / 1e6 / seconds];
    rows.push([format, ...cells.map((value) => value.toFixed(0))]);
    console.log(`  ${rows.at(-1).join(', ')}`);
  }
  return { head: ['format', 'k rows/s', 'MB', 'MB/s'], rows };
}

/** Runs the benchmark. With `isWorker`, records the results in separate tables. */
export async function sql(start, { isWorker = false } = {}) {
  const server = await start();
  const file = join(server.folder, '..', `${process.pid}.parquet`);
  try {
    const points = await fill(server, server.name, data);
    const connection = await open(server);
    const first = await connection.ask(pathOf('/api/v3/query_sql', { q: 'SELECT 1' }));
    const measured = [];
    for (const type of types) {
      measured.push(await measure(type, connection));
      console.log(`  ${type.name}: ${measured.at(-1).times.map((ms) => ms.toFixed(2)).join(' / ')} ms`);
    }
    const small = [];
    for (let i = 0; i < 21; i++) {
      small.push((await connection.ask(pathOf('/api/v3/query_sql', { q: 'SELECT 1' }))).ms);
    }
    connection.close();
    const { head, rows } = await formatTable(server, points);
    await all(server, 'parquet', file);
    const peers = await peersOf(file, measured);
    report(measured, peers, isWorker, `The first \`SELECT 1\` took ${first.ms.toFixed(0)} ms, and later ones ${median(small).toFixed(1)} ms`);
    const notes = [...circumstances(), `\`${commandOf(isWorker)}\`: \`SELECT * FROM cpu\`, ${points} rows of 21 columns, without compression`];
    record({ title: `SQL, formats${isWorker ? ', Worker' : ''}`, notes, head, rows });
  } finally {
    await server.stop();
    rmSync(file, { force: true });
  }
}

/** Measures DataFusion and DuckDB. Returns an empty list if neither is installed for Python. */
async function peersOf(file, measured) {
  const skip = (why) => console.log(`skipped: ${why}`);
  if (!(await hasPythonClients({ skip }))) return [];
  const texts = measured.map(({ texts }) => texts);
  const { error, ...found } = await order('sql_speed', { action: 'measure', file, texts });
  if (error) throw new Error(error);
  return [['DataFusion', found.datafusion], ['DuckDB', found.duckdb]];
}

const commandOf = (isWorker) => `npm run bench -- sql${isWorker ? ' --workerd' : ''}`;

function report(measured, peers, isWorker, note) {
  const ratios = measured.map(({ times: [influxql, inSql] }) => influxql / inSql);
  const head = ['type', 'InfluxQL ms', 'SQL ms', 'ratio', ...peers.map(([name]) => `${name} ms`)];
  const rows = types.map(({ name }, i) => [
    name,
    ...measured[i].times.map((ms) => ms.toFixed(2)),
    ratios[i].toFixed(2),
    ...peers.map(([, ms]) => ms[i].toFixed(2)),
  ]);
  rows.push(['geometric mean', '', '', geometricMean(ratios).toFixed(2), ...peers.map(() => '')]);
  const notes = [
    ...circumstances(),
    `\`${commandOf(isWorker)}\`: the data and the query types of *Queries*, with ` +
      (isWorker ? '`wrangler dev` and the SQL Worker.' : 'the native host.') +
      ' A figure is the median of warm queries, including the request. The results of both languages are compared.',
    'DataFusion and DuckDB come from PyPI, and run natively in one process over the same rows in one Parquet file',
    note,
  ];
  record({ title: `SQL${isWorker ? ', Worker' : ''}`, notes, head, rows, compared: ['ratio'] });
}
