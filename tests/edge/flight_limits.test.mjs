// Tests the limits, timeouts and shutdown of `tidemark flight`.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { chain, ended, grpcClient, openCall, rawCall, transcoding } from './grpc_client.mjs';
import { certificate, frame, grpcWebServer, json, protocolsOf } from './grpc_web_server.mjs';
import { has } from './harness.mjs';

test('calls and connections above a limit are rejected until others end', async (t) => {
  const limits = { callsMax: 3, connectionsMax: 2, callsPerConnectionMax: 2 };
  const { server, address, port } = await chain(t, { limits });
  const [one, two, three] = [0, 1, 2].map(() => grpcClient(t, address));
  const waiting = [one, one, two].map((client) => client.ask('Wait', Buffer.from('x')));
  while (server.calls.length < 3) await sleep(5);
  const refused = await two.ask('Count', Buffer.from('x'));
  assert.deepEqual([refused.code, refused.details], [8, 'callsMax (3) calls are running: retry later']);
  const third = connect(port, '127.0.0.1');
  await once(third, 'close');
  assert.equal((await three.ask('Count', Buffer.from('x'))).code, 14);
  // The client queues a third call on the first connection.
  const kept = one.ask('Count', Buffer.from('x'));
  await sleep(50);
  assert.equal(server.calls.length, 3);
  for (const call of server.calls) call.release();
  assert.deepEqual((await Promise.all([...waiting, kept])).map(({ code }) => code), [0, 0, 0, 0]);
  two.client.close();
  await sleep(50);
  assert.equal((await grpcClient(t, address).ask('Count', Buffer.from('x'))).code, 0);
});

test('headers above their maximum size are rejected in both directions', async (t) => {
  for (const about of protocolsOf(t)) {
    const { server, client, say, port } = await chain(t, { ...about, limits: { headerBytesMax: 4_096 } });
    // HTTP/2 counts the bytes of the names and values, and 32 bytes for each header.
    const { headers } = await rawCall(t, port, { headers: { long: 'x'.repeat(4_000) } });
    assert.deepEqual([headers['grpc-status'], server.calls.length], ['8', 0]);
    assert.match(headers['grpc-message'], /^the request has headers of 4\d\d\d bytes: headerBytesMax is 4096$/);
    const back = await say({ headers: { 'content-type': 'application/grpc-web', long: 'x'.repeat(5_000) } });
    assert.equal(back.code, 8);
    assert.match(back.details, /^the response has headers of 5\d\d\d bytes: headerBytesMax is 4096$/);
    assert.equal((await client.ask('Count', Buffer.from('x'))).code, 0);
  }
});

/** The function `hush` interrupts the connections without a signal to either end. */
async function wire(t, to) {
  const pairs = [];
  let isHushed = false;
  const server = createServer((near) => {
    if (isHushed) return pairs.push(near);
    const far = connect(to, '127.0.0.1');
    pairs.push(near, far);
    near.pipe(far);
    far.pipe(near);
    for (const [one, other] of [[near, far], [far, near]]) one.on('error', () => {}).on('close', () => other.destroy());
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of pairs) socket.destroy();
    server.close();
  });
  const hush = () => {
    isHushed = true;
    for (const socket of pairs) {
      socket.unpipe();
      socket.pause();
    }
  };
  return { port: server.address().port, hush };
}

test('a client that disappears is detected, and its call ends at the server', async (t) => {
  const { server, port, callsOf } = await chain(t, { limits: { pingMs: 50, pingAnswerMs: 200 } });
  const middle = await wire(t, port);
  const call = openCall(t, middle.port, 'Echo');
  call.write(frame(Buffer.from('x')));
  await once(call, 'data');
  // A client that responds to PINGs remains connected even without other traffic.
  await sleep(600);
  assert.equal(server.calls[0].isGone, false);
  middle.hush();
  await server.calls[0].gone;
  assert.equal(server.calls[0].isWhole, false);
  assert.equal((await callsOf(1))[0].grpc_status, 1);
  // The transcoder also closes a connection on which the client never sends a byte.
  const mute = connect(port, '127.0.0.1').resume();
  await once(mute, 'close');
});

test('the transcoder waits for a slow server that sends nothing, and either side may keep the connection alive', async (t) => {
  await Promise.all(protocolsOf(t).map(async (about) => {
    const server = await grpcWebServer(t, about);
    // `upstreamIdleMs` is so short that the transcoder would close an idle connection during the
    // test.
    const limits = { pingMs: 50, pingAnswerMs: 500, upstreamIdleMs: 200 };
    const { address, calls } = await transcoding(t, server.url, { trusts: server.trusts, limits });
    // These options set the shortest interval at which gRPC permits keepalive PINGs.
    const options = { 'grpc.keepalive_time_ms': 100, 'grpc.keepalive_timeout_ms': 500, 'grpc.keepalive_permit_without_calls': 1 };
    const client = grpcClient(t, address, { options });
    const waiting = client.ask('Wait', Buffer.from('x'));
    while (server.calls.length < 1) await sleep(5);
    await sleep(3_000);
    assert.deepEqual([server.calls[0].isGone, calls().length], [false, 0]);
    server.calls[0].release();
    assert.equal((await waiting).code, 0);
    assert.equal((await client.ask('Count', Buffer.from('x'))).code, 0);
  }));
});

test('a server that disappears is detected, and its calls fail', async (t) => {
  if (!has(t, 'openssl', ['version'])) return;
  const server = await grpcWebServer(t, { protocol: 'h2', tls: certificate(t) });
  const middle = await wire(t, server.url.port);
  const to = new URL(`https://127.0.0.1:${middle.port}`);
  const { address } = await transcoding(t, to, { trusts: server.trusts, limits: { pingMs: 50, pingAnswerMs: 200, connectMs: 200 } });
  const client = grpcClient(t, address);
  const many = client.stream('Many', json({ messages: 1e9, bytes: 10_000 }));
  const begun = ended(many);
  const waiting = client.ask('Wait', Buffer.from('x'));
  await once(many, 'data');
  while (server.calls.length < 2) await sleep(5);
  middle.hush();
  assert.deepEqual([(await begun).code, (await waiting).code], [15, 14]);
  const late = await client.ask('Count', Buffer.from('x'));
  assert.deepEqual([late.code, late.details], [14, 'the server does not respond (no connection within 200 ms (connectMs))']);
});

test('during a stop, running calls may complete, and calls that take too long are ended', async (t) => {
  const { server, client, port, child } = await chain(t, { limits: { graceMs: 3_000, lingerMs: 200 } });
  const call = client.bidi('Echo');
  const soon = ended(call);
  const never = client.ask('Wait', Buffer.from('x'));
  call.write(Buffer.from('before'));
  await once(call, 'data');
  while (server.calls.length < 2) await sleep(5);
  child.kill('SIGTERM');
  const refuses = async () => {
    const socket = connect(port, '127.0.0.1');
    // A connection that the program had not accepted yet is reset when the program stops listening.
    socket.on('error', () => {});
    return await once(socket, 'connect').then(() => false, ({ code }) => code === 'ECONNREFUSED');
  };
  while (!(await refuses())) await sleep(5);
  call.write(Buffer.from('after'));
  call.end();
  const { code, messages } = await soon;
  assert.deepEqual([code, messages.map(String)], [0, ['before', 'after']]);
  const { code: given, details } = await never;
  assert.deepEqual([given, details], [14, 'the proxy is stopping: retry later']);
  assert.equal((await child.ended).code, 0);
  await Promise.all(server.calls.map(({ gone }) => gone));
  assert.equal(server.calls[1].isGone, true);
});

test('idle connections do not delay a stop', { timeout: 30_000 }, async (t) => {
  const { client, child } = await chain(t, { limits: { graceMs: 60_000 } });
  assert.equal((await client.ask('Count', Buffer.from('x'))).code, 0);
  child.kill('SIGTERM');
  assert.equal((await child.ended).code, 0);
});

test('a call whose client reads nothing ends at its deadline, and during a stop', async (t) => {
  const { server, port, calls, child } = await chain(t, { limits: { graceMs: 100, lingerMs: 100 } });
  const timed = openCall(t, port, 'Many', { headers: { 'grpc-timeout': '200m' } });
  timed.end(frame(json({ messages: 1e9, bytes: 10_000 })));
  await once(timed, 'response');
  await once(timed, 'close');
  assert.equal(timed.rstCode, 8);
  await server.calls[0].gone;
  const other = openCall(t, port, 'Many');
  other.end(frame(json({ messages: 1e9, bytes: 10_000 })));
  await once(other, 'response');
  child.kill('SIGTERM');
  assert.equal((await child.ended).code, 0);
  await server.calls[1].gone;
  assert.deepEqual(calls().map(({ grpc_status: status }) => status), [4, 14]);
});

test('calls above the streams that the server permits use further connections, or fail after a limit', async (t) => {
  if (!has(t, 'openssl', ['version'])) return;
  const limits = { upstreamSessionsMax: 2, connectMs: 400 };
  const { server, client } = await chain(t, { protocol: 'h2', tls: certificate(t), settings: { maxConcurrentStreams: 2 }, limits });
  const waiting = [];
  for (let count = 1; count <= 4; count += 1) {
    waiting.push(client.ask('Wait', Buffer.from('x')));
    while (server.calls.length < count) await sleep(5);
  }
  assert.equal(server.sessions.length, 2);
  const late = await client.ask('Count', Buffer.from('x'));
  assert.deepEqual([late.code, late.details], [14, 'the server does not respond (no free stream within 400 ms (connectMs))']);
  for (const call of server.calls) call.release();
  assert.deepEqual((await Promise.all(waiting)).map(({ code }) => code), [0, 0, 0, 0]);
  assert.equal((await client.ask('Count', Buffer.from('x'))).code, 0);
});

test('after a GOAWAY, running calls complete, and new calls use a new connection', async (t) => {
  if (!has(t, 'openssl', ['version'])) return;
  const { server, client } = await chain(t, { protocol: 'h2', tls: certificate(t) });
  for (let round = 1; round <= 3; round += 1) {
    const running = client.ask('Wait', Buffer.from('x'));
    while (server.calls.length < 2 * round - 1) await sleep(5);
    server.sessions.at(-1).close();
    await sleep(50);
    const next = await client.ask('Count', Buffer.from('x'));
    assert.deepEqual([next.code, next.details, server.sessions.length], [0, '', round + 1]);
    for (const call of server.calls) call.release();
    assert.equal((await running).code, 0);
  }
});

test('a call ends with a status if the server stays silent after the whole request', async (t) => {
  for (const about of protocolsOf(t)) {
    const { server, client, say } = await chain(t, { ...about, limits: { answerMs: 200 } });
    const details = 'the server sent nothing for 200 ms (answerMs)';
    const never = await client.ask('Wait', Buffer.from('x'));
    assert.deepEqual([never.code, never.details], [14, details]);
    const body = frame(Buffer.from('one')).toString('base64');
    const half = await say({ body, isOpen: true });
    assert.deepEqual([half.code, half.details, half.messages.map(String)], [14, details, ['one']]);
    await Promise.all(server.calls.map(({ gone }) => gone));
    assert.deepEqual(server.calls.map(({ isGone }) => isGone), [true, true]);
    // The limit for idle responses does not apply while the client is still sending.
    const call = client.bidi('Echo');
    const end = ended(call);
    call.write(Buffer.from('a'));
    await sleep(700);
    call.end(Buffer.from('b'));
    const { code, messages } = await end;
    assert.deepEqual([code, messages.map(String)], [0, ['a', 'b']]);
    // Pauses of 100 ms do not end a response, even if they exceed the limit together.
    const slow = await say({ body: Buffer.concat([frame(Buffer.from('one')), frame(Buffer.from('two'))]).toString('base64'), pieceBytes: 4, pauseMs: 100 });
    assert.deepEqual([slow.code, slow.messages.map(String)], [15, ['one', 'two']]);
  }
});
