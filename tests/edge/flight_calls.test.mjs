// Tests every kind of call through `tidemark flight`, between a real gRPC client and a gRPC-Web
// stand-in. The stand-in uses HTTP/1.1, HTTP/1.1 with TLS, and HTTP/2.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { has } from './harness.mjs';
import { chain, ended, grpcClient, rawCall, transcoding } from './grpc_client.mjs';
import { certificate, frame, grpcWebServer, json, trailerFrame } from './grpc_web_server.mjs';

const protocols = ['http/1.1', 'https/1.1', 'h2'];

function over(name, act, { limits } = {}) {
  for (const protocol of protocols) {
    test(`${name}, over ${protocol}`, async (t) => {
      if (protocol !== 'http/1.1' && !has(t, 'openssl', ['version'])) return;
      const tls = protocol === 'http/1.1' ? null : certificate(t);
      const { server, ...more } = await chain(t, { protocol, tls, limits });
      await act({ t, server, ...more });
      const version = protocol === 'h2' ? '2.0' : '1.1';
      assert.ok(server.calls.every((call) => call.version === version), 'another protocol was spoken');
    });
  }
}

over('calls with one or many messages in each direction succeed', async ({ client, server }) => {
  assert.deepEqual(JSON.parse(await client.unary('Count', Buffer.from('abc'))), { messages: 1, bytes: 3 });
  const many = await client.ask('Many', json({ messages: 1_000, bytes: 1_000 }));
  assert.deepEqual([many.code, many.messages.length], [0, 1_000]);
  assert.ok(many.messages.every((message) => message.length === 1_000 && message.every((byte) => byte === 7)));
  const sent = Array.from({ length: 500 }, (_, n) => Buffer.alloc(n, n));
  const bytes = sent.reduce((sum, { length }) => sum + length, 0);
  assert.deepEqual(JSON.parse(await client.collect('Count', sent)), { messages: 500, bytes });
  const none = await client.ask('Many', json({ messages: 0, bytes: 0 }));
  assert.deepEqual([none.code, none.messages], [0, []]);
  assert.deepEqual(JSON.parse(await client.collect('Count', [])), { messages: 0, bytes: 0 });
  assert.ok(server.calls.every(({ path }) => path.startsWith('/test.Stand/')));
});

over('both sides can send messages in turn, and the server may send first', async ({ client }) => {
  const call = client.bidi('Echo');
  const said = [];
  const [first] = await new Promise((resolve) => call.once('metadata', (metadata) => resolve(metadata.get('x-first'))));
  assert.equal(first, 'before any message');
  const end = ended(call);
  for (let n = 0; n < 20; n += 1) {
    const heard = new Promise((resolve) => call.once('data', resolve));
    call.write(Buffer.from(`turn ${n}`));
    said.push(String(await heard));
  }
  call.end();
  const { code, trailers } = await end;
  assert.deepEqual([code, trailers.get('x-last')], [0, ['after all']]);
  assert.deepEqual(said, Array.from({ length: 20 }, (_, n) => `turn ${n}`));
});

over('messages up to their maximum size pass in both directions, and larger messages are rejected', async ({ client, callsOf }) => {
  const large = Buffer.alloc(1_000_000, 1);
  const call = client.bidi('Echo');
  const end = ended(call);
  call.write(large);
  call.end();
  const { code, messages } = await end;
  assert.deepEqual([code, messages.length, messages[0]?.equals(large)], [0, 1, true]);
  const more = await client.ask('Echo', Buffer.alloc(1_000_001));
  assert.equal(more.code, 8);
  assert.equal(more.details, 'the request has a message of 1000001 bytes: messageBytesMax is 1000000');
  const back = await client.ask('Many', json({ messages: 2, bytes: 1_000_001 }));
  assert.equal(back.code, 8);
  assert.equal(back.details, 'the response has a message of 1000001 bytes: messageBytesMax is 1000000');
  assert.deepEqual(back.messages, []);
  assert.deepEqual((await callsOf(3)).map(({ grpc_status: status }) => status), [0, 8, 8]);
}, { limits: { messageBytesMax: 1_000_000 } });

over('metadata passes in both directions, except headers of the connection', async ({ client, server }) => {
  const bytes = Buffer.from([0, 1, 255, 44, 32]);
  const metadata = { authorization: 'Token secret', database: 'db', 'trace-bin': [bytes, Buffer.from('two')], several: ['a', 'b'] };
  const { code } = await client.ask('Count', Buffer.from('x'), metadata, { deadline: Date.now() + 20_000 });
  assert.equal(code, 0);
  const { headers } = server.calls[0];
  assert.equal(headers.authorization, 'Token secret');
  assert.equal(headers.database, 'db');
  assert.equal(headers.several, 'a,b');
  assert.deepEqual(headers['trace-bin'].split(',').map((one) => Buffer.from(one, 'base64')), [bytes, Buffer.from('two')]);
  assert.match(headers['user-agent'], /^grpc-node-js\//);
  assert.match(headers['grpc-timeout'], /^\d+[mS]$/);
  assert.equal(headers['content-type'], 'application/grpc-web+proto');
  assert.equal(headers['x-grpc-web'], '1');
  // With other headers, the server would use encodings that gRPC-Web does not support.
  assert.deepEqual([headers['accept-encoding'], headers['grpc-accept-encoding'], headers.te], ['identity', 'identity', undefined]);

  const said = {
    headers: {
      'content-type': 'application/grpc-web+proto', 'alt-svc': 'h3=":443"', 'access-control-allow-origin': '*',
      'answer-bin': bytes.toString('base64'), 'x-ray': 'abc',
    },
    body: Buffer.concat([
      frame(Buffer.from('m')),
      trailerFrame({ 'Grpc-Status': 0, 'End-Bin': bytes.toString('base64'), 'x-colons': 'a: b:c', connection: 'close', 'x-empty': '' }),
    ]).toString('base64'),
  };
  const back = await client.ask('Say', json(said));
  assert.deepEqual([back.code, String(back.messages)], [0, 'm'], back.details);
  assert.deepEqual(back.metadata.get('answer-bin'), [bytes]);
  assert.deepEqual(back.metadata.get('x-ray'), ['abc']);
  for (const name of ['alt-svc', 'access-control-allow-origin', 'transfer-encoding', 'connection']) {
    assert.deepEqual(back.metadata.get(name), [], name);
  }
  assert.deepEqual(back.metadata.get('content-type'), ['application/grpc']);
  assert.deepEqual(back.trailers.get('end-bin'), [bytes]);
  assert.deepEqual(back.trailers.get('x-colons'), ['a: b:c']);
  assert.deepEqual(back.trailers.get('connection'), []);
});

over('a response that arrives before the end of the request ends the call', async ({ t, client, server, callsOf, address }) => {
  for (let n = 0; n < 20; n += 1) {
    const call = client.bidi('First');
    const end = ended(call);
    call.on('error', () => {});
    const sending = setInterval(() => call.write(Buffer.alloc(100_000)), 1);
    t.after(() => clearInterval(sending));
    const { code, details, messages } = await end;
    clearInterval(sending);
    assert.deepEqual([code, details, messages.length], [9, 'enough', 1]);
  }
  // A client that stays connected receives an error.
  const headers = { ':path': '/test.Stand/First' };
  const open = await rawCall(t, Number(address.split(':')[1]), { headers, frames: frame(Buffer.alloc(9)), isOpen: true });
  assert.deepEqual([open.trailers['grpc-status'], open.body.length, open.rstCode], ['9', 14, 0]);
  // The transcoder notices the end of each call, so that it can free the call's memory.
  await callsOf(21);
  assert.equal(server.calls.length, 21);
});

over('many concurrent calls of one client or of several clients succeed', async ({ t, client, server, address }) => {
  const others = [client, grpcClient(t, address), grpcClient(t, address)];
  const asked = Array.from({ length: 120 }, (_, n) => ({ n, of: others[n % 3] }));
  const counts = await Promise.all(asked.map(({ n, of }) => of.ask('Many', json({ messages: n, bytes: 5_000 }))));
  assert.deepEqual(counts.map(({ code, messages }) => [code, messages.length]), asked.map(({ n }) => [0, n]));
  assert.equal(server.calls.length, 120);
});

test('connections to the server are reused', async (t) => {
  const tls = has(t, 'openssl', ['version']) && certificate(t);
  for (const protocol of tls ? protocols : ['http/1.1']) {
    const server = await grpcWebServer(t, { protocol, tls });
    let connections = 0;
    server.onConnection(() => (connections += 1));
    const { address } = await transcoding(t, server.url, { trusts: server.trusts });
    const client = grpcClient(t, address);
    for (let n = 0; n < 20; n += 1) assert.equal((await client.ask('Many', json({ messages: 1, bytes: 10 }))).code, 0);
    // For HTTP/1.1 with TLS, detecting the protocol uses one additional connection.
    assert.ok(connections <= (protocol === 'https/1.1' ? 2 : 1), `${protocol}: ${connections}`);
  }
});

test('one HTTP/2 session carries a limited number of calls', async (t) => {
  if (!has(t, 'openssl', ['version'])) return;
  const server = await grpcWebServer(t, { protocol: 'h2', tls: certificate(t), settings: { maxConcurrentStreams: 5 } });
  let connections = 0;
  server.onConnection(() => (connections += 1));
  const limits = { callsPerConnectionMax: 5, upstreamSessionsMax: 3 };
  const { address } = await transcoding(t, server.url, { trusts: server.trusts, limits });
  const clients = [1, 2, 3, 4].map(() => grpcClient(t, address));
  const waiting = Array.from({ length: 20 }, (_, n) => clients[n % 4].ask('Wait', Buffer.from('x')));
  // The transcoder opens three sessions with five calls each. The other calls wait.
  while (server.calls.length < 15) await new Promise((resolve) => setTimeout(resolve, 5));
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual([connections, server.calls.length], [3, 15]);
  const letting = setInterval(() => server.calls.forEach((call) => call.release()), 5);
  t.after(() => clearInterval(letting));
  assert.deepEqual((await Promise.all(waiting)).map(({ code }) => code), Array(20).fill(0));
  assert.equal(server.calls.length, 20);
});

test('the client uses TLS, and the path in --to is prepended to the path of a call', async (t) => {
  if (!has(t, 'openssl', ['version'])) return;
  const tls = certificate(t);
  const server = await grpcWebServer(t);
  const { address } = await transcoding(t, new URL('/below/it/', server.url), { tls });
  const client = grpcClient(t, address, { ca: tls.cert });
  assert.equal(String(await client.unary('Count', Buffer.from('abc'))), '{"messages":1,"bytes":3}');
  assert.equal(server.calls[0].path, '/below/it/test.Stand/Count');
  const plain = grpcClient(t, address);
  assert.equal((await plain.ask('Count', Buffer.from('abc'))).code, 14);
});
