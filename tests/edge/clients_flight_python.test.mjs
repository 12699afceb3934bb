// Tests pyarrow's Flight client through `tidemark flight`. A stand-in for Tidemark forwards the
// calls to pyarrow's own server, so the test covers only the transport.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';

import { at } from '../../scripts/project.mjs';
import { ended, grpcClient, transcoding } from './grpc_client.mjs';
import { certificate, frame, grpcWebServer, trailerFrame } from './grpc_web_server.mjs';
import { has } from './harness.mjs';
import { hasPythonClients, order, pythonProgram } from './python.mjs';

const type = { 'content-type': 'application/grpc-web+proto' };

async function flightServer(t) {
  const child = spawn(pythonProgram, ['-B', at('tests', 'edge', 'python', 'flight_server.py')], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const [port] = await once(child.stdout, 'data');
  return `127.0.0.1:${String(port).trim()}`;
}

const plain = (metadata) => Object.fromEntries(Object.entries(metadata.toHttp2Headers()).map(([name, values]) => [name, [values].flat().join(',')]));

/** The headers that are not forwarded, because they describe the client or the connection. */
const own = new Set(['accept', 'accept-encoding', 'connection', 'content-type', 'grpc-accept-encoding', 'grpc-timeout', 'host', 'transfer-encoding', 'user-agent', 'x-grpc-web']);

function metadataFrom(headers) {
  const passed = Object.entries(headers).filter(([name]) => !own.has(name));
  return Object.fromEntries(passed.map(([name, value]) => [name, name.endsWith('-bin') ? Buffer.from(value, 'base64') : value]));
}

async function relayed(client, { messages, request, response }) {
  const call = client.bidi(request.url, metadataFrom(request.headers));
  response.once('close', () => call.cancel());
  call.once('metadata', (metadata) => {
    response.writeHead(200, { ...plain(metadata), ...type });
    response.flushHeaders();
  });
  // Does not pause the call, because a paused call reports its status before its last messages.
  call.on('data', (message) => response.write(frame(message)));
  ended(call).then(({ code, details, trailers }) => {
    if (!response.headersSent) response.writeHead(200, type);
    // Like some servers, sends the text as UTF-8 and not percent-encoded.
    const message = Buffer.from(details, 'utf8').toString('latin1');
    response.end(trailerFrame({ 'grpc-status': code, 'grpc-message': message, ...plain(trailers) }));
  });
  for await (const message of messages) call.write(Buffer.from(message));
  call.end();
}

const methods = ['Handshake', 'ListFlights', 'GetFlightInfo', 'GetSchema', 'DoGet', 'DoPut', 'DoExchange', 'DoAction', 'ListActions'];

function relay(t, client, about = {}) {
  const more = Object.fromEntries(methods.map((name) => [name, (call) => relayed(client, call)]));
  return grpcWebServer(t, { more, ...about });
}

function looksRight({ error, ...seen }) {
  assert.equal(error, null);
  assert.equal(seen.same, true);
  assert.deepEqual(seen.none, [0, true]);
  assert.deepEqual(seen.handshake, ['authorization', 'Bearer of-the-server']);
  for (const header of ["('database', ['db'])", "('some-bin', [b'\\x00\\xff'])"]) assert.ok(seen.headers.includes(header), seen.headers);
  assert.deepEqual(seen.twice, ['x', 'x']);
  assert.deepEqual([seen.info, seen.listed], [[1, 7], 0]);
  assert.deepEqual([seen.put, seen.exchange], [[20_000, true], [1, 2, 3]]);
  assert.equal(seen.fails[0], 'FlightUnauthorizedError');
  assert.match(seen.fails[1], /no: nicht möglich, 100 %/);
  const [[kind, text], rows] = seen.breaks;
  assert.deepEqual([kind, rows], ['FlightInternalError', [10, 10]]);
  assert.match(text, /in the middle/);
  assert.equal(seen.cancelled[0], 'FlightCancelledError');
  assert.equal(seen.late[0], 'FlightTimedOutError');
}

test('pyarrow works through tidemark flight', async (t) => {
  if (!(await hasPythonClients(t))) return;
  const client = grpcClient(t, await flightServer(t));
  const tls = has(t, 'openssl', ['version']) && certificate(t);

  await t.test('queries return the same results as without a transcoder', async (sub) => {
    for (const about of tls ? [{}, { protocol: 'h2', tls }] : [{}]) {
      const server = await relay(sub, client, about);
      const { address, calls } = await transcoding(sub, server.url, { trusts: server.trusts });
      looksRight(await order('flight', { action: 'tour', url: `grpc://${address}` }));
      const asked = new Set(calls().map(({ path }) => path.split('/').at(-1)));
      for (const name of ['Handshake', 'DoGet', 'DoPut', 'DoExchange', 'DoAction']) assert.ok(asked.has(name), name);
    }
  });

  await t.test('the client connects with TLS', async (sub) => {
    if (!tls) return sub.skip('no openssl');
    const server = await relay(sub, client);
    const { port } = await transcoding(sub, server.url, { tls });
    const given = { tls_root_certs: String(tls.cert) };
    looksRight(await order('flight', { action: 'tour', url: `grpc+tls://localhost:${port}`, tls: given }));
  });

  await t.test('a truncated response is an error, never a shorter table', (sub) => cutAnywhere(sub, client));
});

/**
 * Tests responses that are truncated at several offsets. The ticket `BYTES` or `BYTES broken`
 * contains the number of bytes that the server sends. With `broken`, the connection then breaks.
 */
async function cutAnywhere(t, client) {
  const ticket = Buffer.concat([Buffer.from([0x0a, 5]), Buffer.from('20000')]);
  const { messages } = await client.ask('/arrow.flight.protocol.FlightService/DoGet', ticket);
  const trailers = trailerFrame({ 'grpc-status': 0 });
  const whole = Buffer.concat([...messages.map((message) => frame(message)), trailers]);
  const server = await grpcWebServer(t, {
    more: {
      async DoGet({ messages: asked, response }) {
        const { value } = await asked.next();
        const [bytes, isBroken] = String(value.subarray(2)).split(' ');
        response.writeHead(200, type);
        response.write(whole.subarray(0, Number(bytes)));
        if (!isBroken) response.end();
        else setTimeout(() => response.destroy(), 50);
      },
    },
  });
  const { address } = await transcoding(t, server.url);
  const ends = [whole.length - 1, whole.length - trailers.length, whole.length - trailers.length - 1_000, frame(messages[0]).length, 0];
  const tickets = [String(whole.length), ...ends.flatMap((end) => [String(end), `${end} broken`])];
  const { error, seen } = await order('flight', { action: 'cut', url: `grpc://${address}`, tickets });
  assert.equal(error, null);
  assert.deepEqual(seen[0], { failure: null, rows: [10_000, 10_000] });
  for (const [n, { failure }] of seen.slice(1).entries()) {
    assert.match(failure?.[1] ?? 'no failure', /the response was truncated (before its trailers|within a frame)/, tickets[n + 1]);
  }
}
