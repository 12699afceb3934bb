// Tests that `tidemark flight` needs little memory for large streams, and for streams that clients
// do not read.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { flightProgram } from './flight_program.mjs';
import { grpcClient, openCall } from './grpc_client.mjs';
import { certificate, frame, grpcWebServer, json } from './grpc_web_server.mjs';
import { has } from './harness.mjs';

const megabyte = 1_000_000;

/**
 * The maximum number of bytes in transit per stream: in flow-control windows, stream buffers and
 * socket buffers.
 */
const onTheWayBytesMax = 16 * megabyte;

/**
 * The permitted growth of the process's memory, because the allocator keeps memory that forwarded
 * data used.
 */
const grownBytesMax = 100 * megabyte;

/** Waits until the result of `bytes()` no longer changes or is much too large. */
async function settled(bytes) {
  for (let last = -1; ; ) {
    const now = bytes();
    if (now === last || now > 10 * onTheWayBytesMax) return now;
    last = now;
    await sleep(300);
  }
}

async function measured(t, protocol) {
  const tls = protocol === 'h2' ? certificate(t) : null;
  const server = await grpcWebServer(t, { protocol, tls });
  const program = await flightProgram(t, server.url, { env: { LOG_REQUESTS: 'none' }, trusts: tls?.file });
  const client = grpcClient(t, program.address);
  // The first calls allocate memory that the program keeps.
  for (let n = 0; n < 5; n += 1) await client.ask('Many', json({ messages: 10, bytes: megabyte }));
  const before = program.residentBytes();
  return { server, program, client, grown: () => program.residentBytes() - before };
}

for (const protocol of ['http/1.1', 'h2']) {
  test(`unread streams need little memory, over ${protocol}`, { timeout: 300_000 }, async (t) => {
    if (!existsSync('/proc/self/status')) return t.skip('there is no /proc');
    if (protocol === 'h2' && !has(t, 'openssl', ['version'])) return;
    const { server, program, client, grown } = await measured(t, protocol);
    let most = 0;
    const watch = setInterval(() => (most = Math.max(most, grown())), 20).unref();
    program.child.once('exit', () => clearInterval(watch));

    const unread = openCall(t, program.port, 'Many');
    unread.end(frame(json({ messages: 1e9, bytes: 50_000 })));
    await once(unread, 'response');
    const call = server.calls.at(-1);
    const held = await settled(() => call.sentBytes);
    t.diagnostic(`an answer that nobody reads: ${(held / megabyte).toFixed(1)} MB were taken from the server`);
    assert.ok(held > 0 && held < onTheWayBytesMax, `${held} bytes`);

    // When the client reads, the stream continues, and then it stops again.
    let read = 0;
    unread.on('data', (piece) => (read += piece.length));
    while (read < 60 * megabyte) await sleep(10);
    unread.pause();
    const more = await settled(() => call.sentBytes - read);
    assert.ok(more < onTheWayBytesMax, `${more} bytes`);

    // Starts one request that never ends. The server does not read the request.
    const speaking = openCall(t, program.port, 'Wait');
    let sent = 0;
    const piece = frame(Buffer.alloc(50_000));
    const speak = () => speaking.write(piece, (error) => error || ((sent += piece.length), speak()));
    speak();
    const taken = await settled(() => sent);
    t.diagnostic(`a request that nobody reads: ${(taken / megabyte).toFixed(1)} MB were taken from the client`);
    assert.ok(taken < onTheWayBytesMax, `${taken} bytes`);
    speaking.destroy();
    unread.destroy();

    // Many streams share one socket, so the operating system's buffers are needed only once.
    const { session } = openCall(t, program.port, 'Count');
    const first = server.calls.length;
    for (let n = 0; n < 20; n += 1) {
      const one = session.request({ ':method': 'POST', ':path': '/test.Stand/Many', 'content-type': 'application/grpc' });
      one.on('error', () => {}).end(frame(json({ messages: 1e9, bytes: 50_000 })));
    }
    while (server.calls.length < first + 20) await sleep(20);
    const all = await settled(() => server.calls.slice(first).reduce((sum, { sentBytes }) => sum + sentBytes, 0));
    t.diagnostic(`20 answers that nobody reads: ${(all / megabyte).toFixed(1)} MB were taken from the server`);
    session.destroy();
    await Promise.all(server.calls.slice(first).map(({ gone }) => gone));

    // A message of 60 MB is forwarded in chunks.
    const { code, messages, details } = await client.ask('Many', json({ messages: 1, bytes: 60 * megabyte }));
    assert.deepEqual([code, messages.map(({ length }) => length)], [0, [60 * megabyte]], details);
    clearInterval(watch);
    t.diagnostic(`the program grew by ${(most / megabyte).toFixed(1)} MB at most`);
    assert.ok(most < grownBytesMax, `it grew by ${most} bytes`);
  });
}
