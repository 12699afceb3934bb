// Tests the headers of Flight responses on the built Worker. Cloudflare converts a gRPC-Web
// response to gRPC only if the response is streamed without Content-Length.

import assert from 'node:assert/strict';
import { request } from 'node:http';
import { test } from 'node:test';

import { frame } from './grpc_web_server.mjs';
import { tidemark, token, WorkerHost } from './harness.mjs';

function answer(it, { method = 'POST', path = 'DoGet', headers = {}, body = '' }) {
  const { hostname, port } = new URL(it.url);
  return new Promise((resolve, reject) => {
    const target = path.startsWith('/') ? path : `/arrow.flight.protocol.FlightService/${path}`;
    const call = request({ hostname, port, method, path: target, headers }, async (response) => {
      const pieces = [];
      for await (const piece of response) pieces.push(piece);
      resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(pieces).toString('latin1') });
    });
    call.once('error', reject);
    call.end(body);
  });
}

test('each Flight response is streamed without Content-Length, for any status', async (t) => {
  const it = await tidemark(t, {}, WorkerHost);
  const { headers: whole } = await answer(it, { method: 'GET', path: '/ready' });
  assert.ok(Number(whole['content-length']) > 0, `a response of another route: ${JSON.stringify(whole)}`);
  const of = (type, more = {}) => ({ 'Content-Type': type, ...more });
  const bearer = { Authorization: `Bearer ${token}` };
  const web = 'application/grpc-web+proto';
  const ticket = frame(Buffer.from('\x0a\x08nonsense', 'latin1'));
  for (const [what, status, grpcStatus, given] of [
    ['a handshake', 200, /grpc-status: ?0/, { path: 'Handshake', headers: of(web, bearer), body: frame(Buffer.alloc(0)) }],
    ['a wrong ticket', 200, /grpc-status: ?[1-9]/, { headers: of(web, bearer), body: ticket }],
    ['no token', 200, /grpc-status: ?16/, { headers: of(web), body: ticket }],
    ['a wrong token', 200, /grpc-status: ?16/, { headers: of(web, { Authorization: 'Bearer wrong' }), body: ticket }],
    ['an unknown method', 200, /grpc-status: ?12/, { path: 'Nothing', headers: of(web, bearer), body: ticket }],
    ['gRPC without a proxy', 415, null, { headers: of('application/grpc', bearer), body: ticket }],
    ['gRPC without a token', 401, null, { headers: of('application/grpc'), body: ticket }],
    ['another verb', 405, null, { method: 'GET', headers: bearer }],
    ['another origin', 200, /grpc-status: ?7/, { headers: of(web, { ...bearer, Origin: 'https://a.example' }), body: ticket }],
    ['gRPC of another origin', 403, null, { headers: of('application/grpc', { ...bearer, Origin: 'https://a.example' }), body: ticket }],
  ]) {
    const response = await answer(it, given);
    const shown = `${what}: ${response.status} ${JSON.stringify(response.headers)} ${response.body}`;
    assert.equal(response.status, status, shown);
    if (grpcStatus) assert.match(response.body, grpcStatus, shown);
    assert.equal(response.headers['content-length'], undefined, shown);
    assert.equal(response.headers['transfer-encoding'], 'chunked', shown);
  }
});
