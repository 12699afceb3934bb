// Arrow Flight and Flight SQL as their clients speak them: the real packages, through `tidemark flight`, to a server
// with SQL; and gRPC-Web as a page sends it, straight to the server.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfluxDBClient, setLogger } from '@influxdata/influxdb3-client';

import { at } from '../../scripts/project.mjs';
import { hasSql } from '../../scripts/setup.mjs';
import { sqlConfiguration } from '../../scripts/sql-binding.mjs';
import { transcoding } from './grpc_client.mjs';
import { tidemark, token } from './harness.mjs';
import { hasPythonClients, order } from './python.mjs';

setLogger({ error() {}, warn() {} });

const built = { skip: hasSql() ? false : 'SQL is not built: npm run sql' };
const manyRows = 50_000;
const time = '2023-11-14T22:13:20';

/** Rows of every type, with nulls; many; two tables whose names are like each other's to SQL. */
const types = [
  'types,host=a f=1.5,i=1i,u=18446744073709551615u,s="x",b=true 1700000000',
  'types,host=b f=2.5,i=-9007199254740993i 1700000001',
  'types s="ünïcode" 1700000002',
];

/** A server with those in `d`, a transcoder before it, and a token for another database. */
async function served(t) {
  const server = await tidemark(t, { sql: sqlConfiguration, vars: { DEFAULT_SHARDS: '3' } });
  await server.query('CREATE DATABASE d');
  await server.query('CREATE DATABASE other');
  const many = Array.from({ length: manyRows }, (_, n) => `many,host=h${n % 20} v=${n} ${n}`);
  await server.mustWrite([...types, ...many, 'aXb wrong=1 1', 'a_b,t=x right=1i 1'].join('\n'), { db: 'd', precision: 's' });
  const response = await server.fetch('/api/v3/configure/token', {
    method: 'POST',
    body: JSON.stringify({ token_name: 'of other', permissions: [{ resource_type: 'db', resource_identifier: ['other'], actions: ['read'] }] }),
  });
  assert.equal(response.status, 201);
  const { token: other } = await response.json();
  const { port } = await transcoding(t, new URL(server.url));
  return { server, port, what: { port, token, other, database: 'd', time } };
}

/** A server of 3 shards may give out rows of one time in any order; these have times of their own. */
const columns = [
  ['b', 'bool'], ['f', 'double'], ['host', 'string'], ['i', 'int64'], ['s', 'string'], ['time', 'timestamp[ns]'], ['u', 'uint64'],
];
const typedRows = [
  { b: true, f: 1.5, host: 'a', i: 1, s: 'x', time: '2023-11-14 22:13:20', u: 18446744073709551615n },
  { b: null, f: 2.5, host: 'b', i: -9007199254740993n, s: null, time: '2023-11-14 22:13:21', u: null },
  { b: null, f: null, host: null, i: null, s: 'ünïcode', time: '2023-11-14 22:13:22', u: null },
];
/** JSON.parse rounds whole numbers: they are compared so. */
const rounded = JSON.parse(JSON.stringify(typedRows, (_, value) => (typeof value === 'bigint' ? Number(value) : value)));

function hasTypes([found, rows]) {
  assert.deepEqual(found, columns);
  assert.deepEqual(rows, rounded);
}

const isEmpty = ([found, rows]) => assert.deepEqual([found, rows], [[['f', 'double'], ['host', 'string']], []]);

test('Python asks by Flight', built, async (t) => {
  if (!(await hasPythonClients(t))) return;
  const { what } = await served(t);

  await t.test('influxdb3-python', async () => {
    const { error, ...seen } = await order('flight_sql', { action: 'influxdb3', ...what });
    assert.equal(error, null);
    hasTypes(seen.types);
    const [names, rows] = seen.influxql;
    assert.deepEqual(names.map(([name]) => name), ['iox::measurement', 'time', 'host', 'f', 'i']);
    assert.deepEqual(rows.map(({ host, f }) => [host, f]), [['a', 1.5], ['b', 2.5]]);
    assert.deepEqual([seen.pandas, seen.polars], [[manyRows], [(manyRows * (manyRows - 1)) / 2]]);
    assert.deepEqual([seen.chunks, seen.influxql_pandas, seen.unknown_influxql], [manyRows, manyRows, 0]);
    assert.deepEqual(seen.bound, [{ i: Number(-9007199254740993n) }]);
    isEmpty(seen.empty);
    assert.match(seen.wrong[1], /SELEC/);
    assert.match(seen.unknown[1], /table 'public\.iox\.nothing' not found/);
    assert.match(seen.token[1], /[Uu]nauthenticated|unauthorized/);
    assert.match(seen.other[1], /not authorized/);
    assert.match(seen.database[1], /database not found/);
  });

  await t.test('pyarrow.flight', async () => {
    const { error, ...seen } = await order('flight_sql', { action: 'pyarrow', ...what });
    assert.equal(error, null);
    assert.deepEqual([seen.bearer, seen.rows, seen.after], [true, manyRows, [{ one: 1 }]]);
    assert.match(seen.refused[1], /unauthorized access/);
    assert.deepEqual(seen.cancelled, [true, 'FlightCancelledError']);
    assert.deepEqual(seen.two, [manyRows, manyRows - 1_000]);
    assert.equal(seen.late, 'FlightTimedOutError');
    assert.match(seen.nonsense[1], /Invalid ticket/);
  });

  await t.test('adbc-driver-flightsql', async () => {
    const { error, ...seen } = await order('flight_sql', { action: 'adbc', ...what });
    assert.equal(error, null);
    hasTypes(seen.types);
    isEmpty(seen.empty);
    assert.deepEqual([seen.rows, seen.explain], [manyRows, true]);
    assert.deepEqual(seen.bound, [{ i: Number(-9007199254740993n), f: 2.5 }]);
    assert.deepEqual([seen.numbered, seen.times, seen.null], [[{ i: 1 }], [{ i: 1 }], [{ n: 1 }]]);
    assert.deepEqual(seen.types_of_tables, ['BASE TABLE', 'VIEW']);
    const named = Object.fromEntries(seen.tables);
    assert.deepEqual(Object.keys(named), ['aXb', 'a_b', 'many', 'types']);
    assert.deepEqual(named.types.map(([name]) => name), columns.map(([name]) => name));
    assert.deepEqual(seen.schema, columns);
    for (const [of, says] of [['wrong', /SELEC/], ['unknown', /nothing' not found/], ['few', /2 parameters, and 1/], ['token', /unauthorized/]]) {
      assert.match(seen[of]?.[1] ?? 'nothing', says, of);
    }
  });

  await t.test('flightsql-dbapi, and SQLAlchemy as Superset has it', async () => {
    const { error, ...seen } = await order('flight_sql', { action: 'dbapi', ...what });
    assert.equal(error, null);
    hasTypes(seen.types);
    assert.deepEqual(seen.schemas, ['information_schema', 'iox', 'system']);
    assert.deepEqual([seen.catalogs, seen.table_types], [[{ catalog_name: 'public' }], ['BASE TABLE', 'VIEW']]);
    const tables = ['aXb', 'a_b', 'many', 'types'];
    assert.deepEqual([seen.tables, seen.inspected, seen.prepared], [tables, tables, 1]);
    // Tags are text, and the table is the one of that name: `_` stands for any sign in SQL.
    assert.deepEqual(seen.columns.map(([name]) => name), ['right', 't', 'time']);
    assert.equal(Object.fromEntries(seen.columns).t, 'TEXT');
    assert.deepEqual(seen.rows.map(([host]) => host), ['a', 'b', null]);
    assert.match(seen.wrong[1], /SELEC/);
  });
});

/** All rows of a query. */
async function rowsOf(client, ...asked) {
  const rows = [];
  for await (const row of client.query(...asked)) rows.push(row);
  return rows;
}

/** What a client of JavaScript is to see, whichever way it asks. */
async function looksRight(made) {
  const client = made(token);
  assert.deepEqual(await rowsOf(client, 'SELECT 1 AS one', 'd'), [{ one: 1n }]);
  const typed = await rowsOf(client, 'SELECT * FROM types ORDER BY time', 'd');
  assert.deepEqual(typed.map(({ host, f, s }) => [host, f, s]), [['a', 1.5, 'x'], ['b', 2.5, null], [null, null, 'ünïcode']]);
  const many = await rowsOf(client, 'SELECT v FROM many', 'd');
  assert.equal(many.length, manyRows);
  const influxql = { type: 'influxql' };
  assert.equal((await rowsOf(client, 'SELECT v FROM many', 'd', influxql)).length, manyRows);
  assert.deepEqual(await rowsOf(client, 'SELECT i FROM types WHERE i > 1000', 'd'), []);
  const bound = { type: 'sql', params: { host: 'a' } };
  assert.deepEqual((await rowsOf(client, 'SELECT f FROM types WHERE host = $host', 'd', bound)).map(({ f }) => f), [1.5]);
  await assert.rejects(rowsOf(client, 'SELEC 1', 'd'), /SELEC/);
  await assert.rejects(rowsOf(client, 'SELECT * FROM nothing', 'd'), /not found/);
  await assert.rejects(rowsOf(made('wrong'), 'SELECT 1', 'd'), /unauthorized access/);
  const two = await Promise.all([rowsOf(client, 'SELECT v FROM many', 'd'), rowsOf(client, 'SELECT count(*) AS n FROM many', 'd')]);
  assert.deepEqual([two[0].length, two[1]], [manyRows, [{ n: BigInt(manyRows) }]]);
  // Whoever reads no further cancels.
  const left = client.query('SELECT * FROM many', 'd');
  assert.equal((await left.next()).done, false);
  await left.return();
  await client.close();
}

test('JavaScript asks by Flight', built, async (t) => {
  const { server, port } = await served(t);

  await t.test('@influxdata/influxdb3-client by gRPC', async () => {
    await looksRight((secret) => new InfluxDBClient({ host: `http://127.0.0.1:${port}`, token: secret }));
  });

  await t.test('its build for pages by gRPC-Web, straight to the server', async () => {
    const file = at('node_modules', '@influxdata', 'influxdb3-client', 'dist', 'index.browser.mjs');
    const { InfluxDBClient: OfPages, setLogger: quiet } = await import(file);
    quiet({ error() {}, warn() {} });
    await looksRight((secret) => new OfPages({ host: server.url, token: secret }));
  });
});
