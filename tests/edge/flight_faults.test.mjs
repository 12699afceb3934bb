// Tests failures between a gRPC client and a gRPC-Web server. `tidemark flight` must report each
// failure, so that no client treats an incomplete response as complete.

import assert from 'node:assert/strict';
import { constants } from 'node:http2';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { chain, openCall, rawCall } from './grpc_client.mjs';
import { frame, grpcWebServer, json, protocolsOf, trailerFrame } from './grpc_web_server.mjs';

const base64 = (bytes) => Buffer.from(bytes).toString('base64');

test('each HTTP status is converted to a gRPC status with the text of the server', async (t) => {
  const { say } = await chain(t);
  const codes = {
    400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 413: 8, 415: 12, 429: 8, 500: 13, 501: 12, 502: 14, 503: 14, 504: 14, 507: 8,
    302: 2, 418: 2, 520: 2,
  };
  for (const [status, code] of Object.entries(codes)) {
    const said = await say({ status: Number(status), headers: {}, body: base64(`{"error":"no ${status}"}`) });
    assert.deepEqual([said.code, said.details, said.messages], [code, `no ${status}`, []]);
  }
  const texts = [
    ['{"code":"invalid","message":"of the v2 form"}', 'of the v2 form'],
    ['database not found\n', 'database not found'],
    ['', 'the server returned 404'],
    ['ünïcode: 100 % sure\nof "it" ✓', 'ünïcode: 100 % sure\nof "it" ✓'],
    ['%41 stays', '%41 stays'],
    ['x'.repeat(5_000), `${'x'.repeat(1_999)}…`],
    ['y'.repeat(1_000_000), `${'y'.repeat(1_999)}…`],
  ];
  for (const [body, details] of texts) {
    const said = await say({ status: 404, headers: { 'retry-after': '7' }, body: base64(body) });
    assert.deepEqual([said.code, said.details], [5, details]);
    // A response without headers contains only trailers.
    assert.deepEqual(said.trailers.get('retry-after'), ['7']);
  }
  const told = await say({ status: 503, headers: { 'grpc-status': '8', 'grpc-message': 'of gRPC' } });
  assert.deepEqual([told.code, told.details], [8, 'of gRPC']);
});

test('a response with the status in its headers is complete', async (t) => {
  const { say } = await chain(t);
  const type = { 'content-type': 'application/grpc-web+proto' };
  const failed = await say({ headers: { ...type, 'grpc-status': '5', 'grpc-message': 'not%20here%21', 'why-bin': base64('why') } });
  assert.deepEqual([failed.code, failed.details], [5, 'not here!']);
  assert.equal(String(failed.trailers.get('why-bin')), 'why');
  assert.equal((await say({ headers: { ...type, 'grpc-status': '0' } })).code, 0);
  const body = base64(frame(Buffer.from('m')));
  const both = await say({ headers: { ...type, 'grpc-status': '0' }, body });
  assert.deepEqual([both.code, both.messages], [13, []]);
  assert.equal((await say({ headers: { ...type, 'grpc-status': 'fine' } })).code, 2);
});

test('trailers are parsed in every form that servers send', async (t) => {
  const { say } = await chain(t);
  const ended = (text) => say({ body: base64(frame(Buffer.from(text), 0x80)) });
  const fine = await ended('grpc-status:0\r\ngrpc-message:\r\n');
  assert.deepEqual([fine.code, fine.details], [0, '']);
  const bytes = await ended('GRPC-Status: 3\r\ngrpc-message: nicht möglich, 100%\r\n');
  assert.deepEqual([bytes.code, bytes.details], [3, 'nicht möglich, 100%']);
  const encoded = await ended('grpc-message:%C3%BC%25\r\ngrpc-status:16');
  assert.deepEqual([encoded.code, encoded.details], [16, 'ü%']);
  const odd = await ended('no header\r\n: nothing\r\na b: c\r\n:path: /\r\nx: \x01\r\ngrpc-status: 0\r\ny: 1\r\ny: 2\r\n');
  assert.deepEqual([odd.code, odd.trailers.get('y'), odd.trailers.get('x')], [0, ['1,2'], []]);
  assert.deepEqual([(await ended('')).code, (await ended('x: 1\r\n')).code, (await ended('grpc-status: -1\r\n')).code], [2, 2, 2]);
});

test('a truncated response results in DataLoss, for any kind and position of the truncation', async (t) => {
  const whole = Buffer.concat([frame(Buffer.from('one')), frame(Buffer.from('two')), trailerFrame({ 'grpc-status': 0 })]);
  for (const kind of protocolsOf(t)) {
    const { say, client } = await chain(t, kind);
    for (const isCut of [true, false]) {
      for (let end = 0; end < whole.length; end += 1) {
        const { code, details, messages } = await say({ body: base64(whole.subarray(0, end)), isCut });
        assert.equal(code, 15, `${end} bytes, ${details}`);
        assert.match(details, /^the response was truncated (before its trailers|within a frame)$/);
        assert.deepEqual(messages.map(String), ['one', 'two'].slice(0, Math.floor(end / 8)));
      }
    }
    assert.equal((await say({ body: base64(whole), pieceBytes: 1 })).code, 0);
    // A connection that breaks after the complete status has arrived does not change the response.
    const late = await say({ body: base64(whole), isCut: true });
    assert.deepEqual([late.code, late.messages.map(String)], [0, ['one', 'two']]);
    const more = await client.ask('Say', json({ body: base64(Buffer.concat([whole, frame(Buffer.from('three'))])) }));
    assert.deepEqual([more.code, more.details], [13, 'the response continues after its trailers']);
  }
});

test('a response that is not gRPC-Web is an error', async (t) => {
  const { say, client, port } = await chain(t, { limits: { trailerBytesMax: 100 } });
  const type = { 'content-type': 'application/grpc-web+proto' };
  const page = await say({ headers: { 'content-type': 'text/html' }, body: base64('<html>Sign in</html>') });
  assert.deepEqual([page.code, page.details], [2, 'the server returned 200 with text/html instead of gRPC-Web']);
  for (const headers of [{}, { 'content-type': 'application/grpc-web-text' }, { ...type, 'content-encoding': 'gzip' }]) {
    assert.equal((await say({ headers, body: base64(trailerFrame({ 'grpc-status': 0 })) })).code, 2);
  }
  const packed = await say({ body: base64(frame(Buffer.from('x'), 1)) });
  assert.deepEqual([packed.code, packed.details], [12, 'the response has a frame with the flags 1: only uncompressed messages are supported']);
  const long = await say({ body: base64(frame(Buffer.alloc(101), 0x80)) });
  assert.deepEqual([long.code, long.details], [8, 'the response has trailers of 101 bytes: trailerBytesMax is 100']);

  // A request that is not gRPC gets a plain HTTP response.
  const { headers: got } = await rawCall(t, port, { headers: { ':method': 'GET' } });
  const { headers: form } = await rawCall(t, port, { headers: { 'content-type': 'application/json' } });
  const { headers: web } = await rawCall(t, port, { headers: { 'content-type': 'application/grpc-web' } });
  assert.deepEqual([got, form, web].map((headers) => headers[':status']), [405, 415, 415]);
  for (const path of ['/', '/one', '/one/two/three', '/../admin', '/a/..', '/a/b?c', '/a%2f/b']) {
    const { headers } = await rawCall(t, port, { headers: { ':path': path } });
    assert.deepEqual([headers[':status'], headers['grpc-status']], [200, '12'], path);
  }
  const zipped = await rawCall(t, port, { headers: { 'grpc-encoding': 'gzip' } });
  assert.deepEqual([zipped.headers['grpc-status'], zipped.headers['grpc-accept-encoding']], ['12', 'identity']);
  const short = await rawCall(t, port, { frames: frame(Buffer.from('abc')).subarray(0, 6) });
  assert.deepEqual([short.headers['grpc-status'], short.headers['grpc-message']], ['3', 'the request ends within a message']);
  const named = await rawCall(t, port, { headers: { 'content-type': 'application/grpc+json' }, frames: frame(Buffer.from('1')) });
  assert.deepEqual([named.headers['content-type'], named.trailers['grpc-status']], ['application/grpc+json', '0']);
  assert.equal((await client.ask('Count', Buffer.from('after all that'))).code, 0);
});

test('a deadline is forwarded to the server and enforced by the transcoder', async (t) => {
  const { server, port, client, callsOf } = await chain(t, { limits: { lingerMs: 2_000 } });
  const held = await rawCall(t, port, { headers: { ':path': '/test.Stand/Wait', 'grpc-timeout': '100m' }, isOpen: true });
  assert.deepEqual([held.headers['grpc-status'], held.headers['grpc-message']], ['4', 'the deadline of 100 ms has passed']);
  assert.equal(server.calls[0].headers['grpc-timeout'], '100m');
  await server.calls[0].gone;
  assert.equal(server.calls[0].isGone, true, 'the server was told');
  // If a response has started, its trailers contain the error.
  const within = await rawCall(t, port, { headers: { ':path': '/test.Stand/Echo', 'grpc-timeout': '1000000u' }, frames: frame(Buffer.from('x')), isOpen: true });
  assert.deepEqual([within.headers[':status'], within.body.length, within.trailers['grpc-status']], [200, 6, '4']);
  // Trailers inside a message would damage the response.
  const two = Buffer.concat([frame(Buffer.alloc(400)), frame(Buffer.from('x'))]);
  const slow = { headers: { ':path': '/test.Stand/Say', 'grpc-timeout': '1000m' } };
  const ended = await rawCall(t, port, { ...slow, frames: frame(json({ body: base64(two), pieceBytes: 206, pauseMs: 1_500, isOpen: true })) });
  assert.deepEqual([ended.body.length, ended.trailers['grpc-status']], [405, '4']);
  // A stream without trailers is reset, but only after a client with a deadline has given up.
  const half = frame(Buffer.from('half of it')).subarray(0, 9);
  const open = frame(json({ body: base64(Buffer.concat([frame(Buffer.from('x')), half])), isOpen: true }));
  const cut = await rawCall(t, port, { ...slow, frames: open });
  assert.deepEqual([cut.body.length, cut.trailers['grpc-status'], cut.rstCode], [15, undefined, constants.NGHTTP2_CANCEL]);
  assert.deepEqual((await callsOf(4)).map(({ grpc_status: status }) => status), [4, 4, 4, 4]);
  // The client's own deadline does not expire later than the transcoder's.
  const own = await client.ask('Wait', Buffer.from('x'), {}, { deadline: Date.now() + 100 });
  assert.equal(own.code, 4);
  for (const timeout of ['', '1', '1s', '-1S', '123456789S', '1.5S']) {
    const wrong = await rawCall(t, port, { headers: { 'grpc-timeout': timeout } });
    assert.equal(wrong.headers['grpc-status'], '3', timeout);
  }
});

test('if a client cancels a call, the transcoder cancels the call at the server', async (t) => {
  for (const kind of protocolsOf(t)) {
    const { server, client, port, callsOf } = await chain(t, kind);
    const waiting = client.stream('Wait', Buffer.from('x'));
    const streaming = client.stream('Many', json({ messages: 1e9, bytes: 1_000 }));
    for (const call of [waiting, streaming]) call.on('error', () => {});
    await new Promise((resolve) => streaming.once('data', resolve));
    for (const call of [waiting, streaming]) call.cancel();
    await Promise.all(server.calls.map(({ gone }) => gone));
    assert.deepEqual(server.calls.map(({ isGone }) => isGone), [true, true]);

    // The server must not treat a partial request as complete. Node's own client marks its messages
    // as complete before it cancels.
    const speaking = openCall(t, port, 'Echo');
    speaking.write(frame(Buffer.from('half of it')));
    await new Promise((resolve) => speaking.once('data', resolve));
    speaking.destroy();
    await server.calls[2].gone;
    assert.deepEqual([server.calls[2].isGone, server.calls[2].isWhole], [true, false]);

    const lost = openCall(t, port, 'Many');
    lost.end(frame(json({ messages: 1e9, bytes: 1_000 })));
    await new Promise((resolve) => lost.once('data', resolve));
    lost.session.destroy();
    await server.calls[3].gone;
    assert.equal(server.calls[3].isGone, true);
    assert.deepEqual((await callsOf(4)).map(({ grpc_status: status }) => status), [1, 1, 1, 1]);
  }
});

test('calls return Unavailable while the server is down, and succeed after its restart', async (t) => {
  for (const kind of protocolsOf(t)) {
    const { server, client } = await chain(t, kind);
    assert.equal((await client.ask('Count', Buffer.from('x'))).code, 0);
    const streaming = client.stream('Many', json({ messages: 1e9, bytes: 1_000 }));
    streaming.on('error', () => {});
    streaming.on('data', () => {});
    const waiting = client.ask('Wait', Buffer.from('x'));
    const broken = new Promise((resolve) => streaming.on('status', resolve));
    while (server.calls.length < 3) await sleep(5);
    await new Promise((resolve) => streaming.once('data', resolve));
    server.close();
    assert.equal((await broken).code, 15, 'an answer that had begun');
    assert.equal((await waiting).code, 14, 'one that had not');
    const down = await client.ask('Count', Buffer.from('x'));
    assert.deepEqual([down.code, down.details], [14, 'the server does not respond (Connection refused (os error 111))']);
    await grpcWebServer(t, { ...kind, port: Number(server.url.port) });
    assert.equal((await client.ask('Count', Buffer.from('x'))).code, 0);
  }
});
