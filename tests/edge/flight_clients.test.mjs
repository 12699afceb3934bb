// Tests the unmodified clients of Arrow Flight and Flight SQL. They connect to the native host, or to
// the Worker through `tidemark flight`. Each client runs every case of flight_cases.mjs and
// additional cases.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfluxDBClient, setLogger } from '@influxdata/influxdb3-client';
import { build } from 'esbuild';

import { at } from '../../scripts/project.mjs';
import { hasChromium, launched } from './chromium.mjs';
import { columns, comesBack, conversation, judge, judgeRestart, manyRows, ofJavaScript, served } from './flight_cases.mjs';
import { casesOf, rowsOf } from './flight_js.mjs';
import { token, withoutSql } from './harness.mjs';
import { hasPythonClients, order, orderMs, pythonProgram } from './python.mjs';
import { staticHost } from './static_host.mjs';

setLogger({ error() {}, warn() {} });

const built = { skip: withoutSql, timeout: 840_000 };
const time = '2023-11-14T22:13:20';
const isFew = Number(-9007199254740993n);

const pythonClients = {
  'influxdb3-python': {},
  'pyarrow.flight': {},
  'adbc-driver-flightsql': {},
  'Polars by ADBC': {},
  'DuckDB by ADBC': {},
  'flightsql-dbapi': {},
  // SQLAlchemy reads the whole result, has no deadline, and supports only Python's types.
  SQLAlchemy: {
    lacks: ['deadline'],
    own: {
      types: ([names, rows]) => assert.deepEqual([names.map(([name]) => name), rows.map(({ host }) => host)], [columns.map(([name]) => name), ['a', 'b', null]]),
      empty: ([names, rows]) => assert.deepEqual([names.map(([name]) => name), rows], [['f', 'host'], []]),
      cancelled: ([, rows]) => assert.equal(rows, 1),
    },
  },
};

async function influxdb3(what) {
  const { error, ...seen } = await order('flight_sql', { action: 'influxdb3', ...what });
  assert.equal(error, null);
  const [names, rows] = seen.influxql;
  assert.deepEqual(names.map(([name]) => name), ['iox::measurement', 'time', 'host', 'f', 'i']);
  assert.deepEqual(rows.map(({ host, f }) => [host, f]), [['a', 1.5], ['b', 2.5]]);
  assert.deepEqual([seen.pandas, seen.polars], [[manyRows], [(manyRows * (manyRows - 1)) / 2]]);
  assert.deepEqual([seen.chunks, seen.reader, seen.schema, seen.frames], [manyRows, manyRows, 'double', [manyRows, manyRows]]);
  assert.deepEqual([seen.influxql_pandas, seen.unknown_influxql, seen.influxql_bound], [manyRows, 0, 1]);
  assert.deepEqual([seen.bound, seen.types, seen.null], [[{ i: isFew }], [1], [1]]);
  assert.deepEqual(seen.written, [{ room: 'hall', v: 1.5 }, { room: 'attic', v: 2.5 }, { room: 'cellar', v: 3.5 }]);
  assert.deepEqual(seen.async, [[manyRows], [2]]);
  assert.match(seen.database[1], /database not found/);
}

async function pyarrow(what) {
  const { error, ...seen } = await order('flight_sql', { action: 'pyarrow', ...what });
  assert.equal(error, null);
  assert.deepEqual([seen.bearer, seen.cancelled], [true, 'FlightCancelledError']);
  assert.match(seen.refused[1], /unauthorized access/);
  assert.match(seen.nonsense[1], /Invalid ticket/);
}

const tables = ['aXb', 'a_b', 'many', 'million', 'types', 'written'];

async function adbc(what) {
  const { error, ...seen } = await order('flight_sql', { action: 'adbc', ...what });
  assert.equal(error, null);
  assert.deepEqual([seen.shaken, seen.rows, seen.explain], [[[1]], manyRows, true]);
  assert.deepEqual(seen.bound, [{ i: isFew, f: 2.5 }]);
  assert.deepEqual([seen.numbered, seen.times, seen.null], [[{ i: 1 }], [{ i: 1 }], [{ n: 1 }]]);
  assert.equal(seen.every.length, 23);
  for (const [type, found, count] of seen.every) assert.equal(found, count, type);
  assert.deepEqual(seen.types_of_tables, ['BASE TABLE', 'VIEW']);
  assert.deepEqual(seen.names_of_tables, seen.tables.map(([name]) => name));
  assert.ok(seen.names_of_tables.includes('types'), seen.names_of_tables);
  const named = Object.fromEntries(seen.tables);
  assert.deepEqual(Object.keys(named), tables);
  assert.deepEqual(named.types.map(([name]) => name), columns.map(([name]) => name));
  assert.deepEqual(seen.schema, columns);
  assert.match(seen.few?.[1] ?? 'nothing', /2 parameters, and the request contains 1 values/);
  assert.deepEqual(seen.constant, [1, 1, 3]);
  assert.doesNotMatch(seen.nested, /dictionary/);
}

async function dbapi(what) {
  const { error, ...seen } = await order('flight_sql', { action: 'dbapi', ...what });
  assert.equal(error, null);
  assert.deepEqual([seen.prepared, seen.bound], [1, [[isFew]]]);
  assert.match(seen.prepared_bound[1], /No value found for placeholder/);
  assert.deepEqual([seen.catalogs, seen.table_types, seen.tables], [[{ catalog_name: 'public' }], ['BASE TABLE', 'VIEW'], tables]);
  const { superset } = seen;
  assert.deepEqual([seen.schemas, superset.schemas], Array(2).fill(['information_schema', 'iox', 'system']));
  assert.deepEqual([superset.tables, superset.views, superset.has], [tables, [], [true, false]]);
  // A table's name must match exactly, although `_` matches any character in a pattern.
  assert.deepEqual(superset.columns.map(([name]) => name), ['right', 't', 'time']);
  assert.equal(Object.fromEntries(superset.columns).t, 'TEXT');
  assert.deepEqual([superset.keys, superset.indexes, superset.ping], [[[], []], [], true]);
  assert.deepEqual(superset.samples, [['host', 'f'], [['a', 1.5], ['b', 2.5]]]);
  // DataFusion sorts null after all values.
  assert.deepEqual(superset.chart, [['host', 'SUM(f)'], [[null, null], ['b', 2.5]]]);
  assert.deepEqual(superset.virtual, ['host', 'i']);
}

/** Restarts the server, and tests that the running clients can then query again. */
async function restart(t, { server, what, port }) {
  const gone = new InfluxDBClient({ host: `http://127.0.0.1:${port}`, token });
  const one = () => rowsOf(gone, 'SELECT 1 AS one', 'd').then((rows) => rows.length, String);
  const file = at('tests', 'edge', 'python', 'flight_matrix.py');
  const python = conversation(t, pythonProgram, ['-B', file, JSON.stringify({ action: 'restarted', ...what })]);
  const javascript = [await one()];
  assert.equal(await python.next(), 'away');
  await server.kill();
  python.tell();
  javascript.push(await one());
  assert.equal(await python.next(), 'back');
  await comesBack(server);
  javascript.push(await one());
  python.tell();
  const { error, ...seen } = JSON.parse(await python.next());
  assert.equal(error, null);
  assert.deepEqual(Object.keys(seen), Object.keys(pythonClients));
  for (const [client, answers] of Object.entries({ ...seen, javascript })) judgeRestart(client, answers);
  await gone.close();
}

/** The test page contains the browser build of the client, and runs the cases. */
const script = `
  import { InfluxDBClient, setLogger } from '@influxdata/influxdb3-client';
  import { casesOf } from './flight_js.mjs';
  setLogger({ error() {}, warn() {} });
  globalThis.asked = (host, tokens) => casesOf((token, more) => new InfluxDBClient({ host, token, ...more }), tokens);
`;

/** Resolves to the page's `evaluate` function and the list of the browser's errors. */
async function page(t, host) {
  const options = { contents: script, resolveDir: at('tests', 'edge') };
  const { outputFiles } = await build({ stdin: options, bundle: true, format: 'esm', platform: 'browser', target: 'chrome120', write: false });
  host.instead.set('index.html', '<!doctype html><title>Flight</title><script type="module" src="page.js"></script>');
  host.instead.set('page.js', outputFiles[0].text);
  const it = await (await launched(t)).newPage();
  const said = [];
  it.on('console', (line) => said.push(line.text()));
  await it.goto(host.url);
  await it.waitForFunction('globalThis.asked');
  return { it, said };
}

test('every Flight client passes every case', built, async (t) => {
  const host = await staticHost(t, at('examples', 'page'));
  const { server, port, other, calls } = await served(t, { origin: new URL(host.url).origin });
  const what = { port, http: Number(new URL(server.url).port), token, other, database: 'd', time };

  await t.test('@influxdata/influxdb3-client over gRPC', async () => {
    const made = (secret, more) => new InfluxDBClient({ host: `http://127.0.0.1:${port}`, token: secret, ...more });
    judge('gRPC', await casesOf(made, { token, other }), ofJavaScript);
  });

  await t.test('the browser build of the client in Node, over gRPC-Web, directly to the server', async () => {
    const file = at('node_modules', '@influxdata', 'influxdb3-client', 'dist', 'index.browser.mjs');
    const { InfluxDBClient: OfPages, setLogger: quiet } = await import(file);
    quiet({ error() {}, warn() {} });
    judge('gRPC-Web', await casesOf((secret, more) => new OfPages({ host: server.url, token: secret, ...more }), { token, other }), ofJavaScript);
  });

  await t.test('the browser build of the client in a page of Chromium from another origin', async (one) => {
    if (!hasChromium(one)) return;
    const { it, said } = await page(one, host);
    const ask = ([url, tokens]) => globalThis.asked(url, tokens);
    judge('a page', await it.evaluate(ask, [server.url, { token, other }]), ofJavaScript);
    // The browser withholds responses from a page whose origin is not in `CORS_ORIGINS`.
    const stranger = await staticHost(one, at('examples', 'page'));
    const refused = await page(one, stranger);
    await assert.rejects(refused.it.evaluate(ask, [server.url, { token, other }]));
    assert.ok(refused.said.some((line) => line.includes('blocked by CORS policy')), String(refused.said));
    assert.ok(!said.some((line) => line.includes('CORS')), String(said));
  });

  await t.test('Python', async (python) => {
    if (!(await hasPythonClients(python))) return;
    for (const [name, act] of Object.entries({ influxdb3, pyarrow, adbc, dbapi })) {
      await python.test(`${name}, features of this client`, () => act(what));
    }
    // One process runs all clients, because the imports of the libraries take seconds.
    const first = calls().length;
    const { error, ...seen } = await order('flight_matrix', { action: 'cases', ...what }, 4 * orderMs);
    assert.equal(error, null);
    for (const [client, different] of Object.entries(pythonClients)) {
      await python.test(`${client}, every case`, (one) => {
        const { error: failure = null, ...results } = seen[client];
        // The failed calls that the transcoder has logged.
        const failed = calls().slice(first).filter(({ grpc_status: status }) => status !== 0);
        if (failure !== null) one.diagnostic(JSON.stringify(failed));
        assert.equal(failure, null);
        judge(client, results, different);
      });
    }
    await python.test('a server that is temporarily down', (one) => restart(one, { server, what, port }));
  });
});
