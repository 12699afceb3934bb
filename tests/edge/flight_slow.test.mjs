// Tests a real SQL statement that computes for more than 30 s before its first row. No client,
// transcoder or Worker on the path may give up. flight_cases.mjs tests shorter deadlines, and
// flight_limits.test.mjs tests a server that sends nothing for other reasons.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { sqlConfiguration } from '../../sql/process/binding.mjs';
import { ended, flightOf, grpcClient } from './grpc_client.mjs';
import { isNative, tidemark, token, withoutSql } from './harness.mjs';

const options = { skip: withoutSql, timeout: 600_000 };
const doGet = '/arrow.flight.protocol.FlightService/DoGet';

/**
 * The minimum time without data. It is longer than the PING intervals of both sides, and longer
 * than the usual timeouts of proxies and clients.
 */
const silentMsMin = 30_000;
const aimedMs = 40_000;
const triedRows = 50_000;
const madeRowsMax = 10_000_000;
/** In the debug build of the native host, 40 hashes of one batch exceed the time limit of SQL. */
const hashes = isNative ? 4 : 40;
const triesMax = 3;

/** Returns a statement that hashes `rows` rows repeatedly and returns one row. */
function slow(rows) {
  const hashed = `${'sha512('.repeat(hashes)}arrow_cast(value, 'Utf8')${')'.repeat(hashes)}`;
  return `SELECT count(${hashed}) AS n FROM generate_series(1, ${rows})`;
}

test('the client waits for a statement that returns no row for more than 30 s', options, async (t) => {
  const server = await tidemark(t, { sql: sqlConfiguration });
  await server.query('CREATE DATABASE d');
  const { address, calls } = await flightOf(t, server);
  // These options set the shortest interval at which gRPC permits keepalive PINGs.
  const keepalive = { 'grpc.keepalive_time_ms': 10_000, 'grpc.keepalive_timeout_ms': 5_000 };
  const client = grpcClient(t, address, { options: keepalive });
  const asked = async (rows) => {
    const ticket = Buffer.from(JSON.stringify({ database: 'd', sql_query: slow(rows) }));
    const message = Buffer.concat([Buffer.from([0x0a, (ticket.length & 127) | 128, ticket.length >> 7]), ticket]);
    const call = client.stream(doGet, message, { authorization: `Bearer ${token}` });
    const from = performance.now();
    let silentMs = 0;
    call.once('data', () => (silentMs = performance.now() - from));
    const { code, details, messages } = await ended(call);
    return { code, details, messages: messages.length, silentMs };
  };
  let [rows, waited] = [triedRows, await asked(triedRows)];
  for (let tries = 0; waited.silentMs < silentMsMin; tries += 1) {
    assert.equal(waited.code, 0, waited.details);
    assert.ok(tries < triesMax, `${rows} rows took ${waited.silentMs} ms`);
    // Computes the next number of rows from the machine's speed in the last run.
    rows = Math.min(madeRowsMax, Math.ceil((rows * aimedMs) / waited.silentMs));
    waited = await asked(rows);
  }
  t.diagnostic(`${rows} rows: nothing came for ${(waited.silentMs / 1_000).toFixed(1)} s`);
  // The response has one message for the columns and one message for the row.
  assert.deepEqual([waited.code, waited.messages], [0, 2], waited.details);
  // All calls used the same connection, and no call was repeated.
  assert.ok(calls().every(({ grpc_status: status }) => status === 0), JSON.stringify(calls()));
  assert.equal((await asked(1)).code, 0);
});
