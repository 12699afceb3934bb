// A stand-in for a gRPC-Web server over HTTP/1.1, or HTTP/2 and TLS. It has a few methods and
// records its requests. Messages are bytes.

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createSecureServer } from 'node:http2';
import { createServer as createTlsServer } from 'node:https';
import { join } from 'node:path';

import { has, temporaryFolder } from './harness.mjs';

/** Encodes a frame, which consists of flags, length and payload. */
export function frame(payload, flags = 0) {
  const head = Buffer.alloc(5);
  head[0] = flags;
  head.writeUInt32BE(payload.length, 1);
  return Buffer.concat([head, payload]);
}

/** Encodes the message of a method of this server. */
export const json = (value) => Buffer.from(JSON.stringify(value));

export const trailerFrame = (trailers) =>
  frame(Buffer.from(Object.entries(trailers).map(([name, value]) => `${name}: ${value}\r\n`).join(''), 'latin1'), 0x80);

async function* messagesOf(body) {
  let bytes = Buffer.alloc(0);
  for await (const piece of body) {
    bytes = Buffer.concat([bytes, piece]);
    while (bytes.length >= 5 && bytes.length >= 5 + bytes.readUInt32BE(1)) {
      const end = 5 + bytes.readUInt32BE(1);
      yield bytes.subarray(5, end);
      bytes = bytes.subarray(end);
    }
  }
}

const type = { 'content-type': 'application/grpc-web+proto' };

const drained = (response) =>
  new Promise((resolve) => {
    const settle = () => {
      response.off('drain', settle).off('close', settle);
      resolve();
    };
    response.on('drain', settle).on('close', settle);
  });

const allOf = async (messages) => {
  const all = [];
  for await (const message of messages) all.push(message);
  return all;
};

/** The methods by name. `seen` is the element of `calls` for this call. */
const methods = {
  /** Returns each message unchanged as it arrives. */
  async Echo({ messages, response }) {
    response.writeHead(200, { ...type, 'x-first': 'before any message' });
    response.flushHeaders?.();
    for await (const message of messages) response.write(frame(message));
    response.end(trailerFrame({ 'grpc-status': 0, 'x-last': 'after all' }));
  },
  /** Returns one message with the number of messages and their bytes. */
  async Count({ messages, response }) {
    const all = await allOf(messages);
    response.writeHead(200, type);
    const bytes = all.reduce((sum, { length }) => sum + length, 0);
    response.write(frame(json({ messages: all.length, bytes })));
    response.end(trailerFrame({ 'grpc-status': 0 }));
  },
  /** Returns `messages` messages, each with `bytes` bytes. */
  async Many({ messages, response, seen }) {
    const [asked] = await allOf(messages);
    const { messages: count, bytes } = JSON.parse(asked);
    response.writeHead(200, type);
    const one = frame(Buffer.alloc(bytes, 7));
    for (let n = 0; n < count && !seen.isGone; n += 1) {
      seen.sentBytes += one.length;
      if (!response.write(one)) await drained(response);
    }
    response.end(trailerFrame({ 'grpc-status': 0 }));
  },
  /** Reads no message until the test releases it. */
  async Wait({ messages, response, seen }) {
    await seen.letGo;
    const all = await allOf(messages);
    if (seen.isGone) return;
    response.writeHead(200, type);
    for (const message of all) response.write(frame(message));
    response.end(trailerFrame({ 'grpc-status': 0 }));
  },
  /** Responds after the first message and ignores all further messages. */
  async First({ messages, response }) {
    const { value: message } = await messages.next();
    response.writeHead(200, type);
    response.write(frame(message));
    response.end(trailerFrame({ 'grpc-status': 9, 'grpc-message': 'enough' }));
  },
  /**
   * Sends exactly the response that the message describes. `body` is base64, sent in chunks of
   * `pieceBytes` with `pauseMs` after each chunk.
   */
  async Say({ messages, response }) {
    const [asked] = await allOf(messages);
    const { status = 200, headers = type, body = '', isCut = false, isOpen = false, pieceBytes = Infinity, pauseMs = 1 } = JSON.parse(asked);
    response.writeHead(status, headers);
    const bytes = Buffer.from(body, 'base64');
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      response.write(bytes.subarray(at, Math.min(bytes.length, at + pieceBytes)));
      if (pieceBytes !== Infinity) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    if (isOpen) return undefined;
    if (!isCut) return response.end();
    response.flushHeaders?.();
    await new Promise((resolve) => setTimeout(resolve, 50));
    if (response.stream) response.stream.close(2);
    else response.destroy();
  },
};

/** Creates a certificate for 127.0.0.1, which is valid only for this run. */
export function certificate(t) {
  const folder = temporaryFolder(t);
  const [key, file] = ['key.pem', 'cert.pem'].map((name) => join(folder, name));
  const asked = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', '/CN=localhost'];
  execFileSync('openssl', [...asked, '-days', '2', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost', '-addext', 'basicConstraints=critical,CA:FALSE', '-keyout', key, '-out', file], { stdio: 'ignore' });
  return { key: readFileSync(key), cert: readFileSync(file), file, keyFile: key };
}

/** Returns the options of a server for each protocol that a test can use. HTTP/2 needs openssl. */
export const protocolsOf = (t) => (has(t, 'openssl', ['version']) ? [{}, { protocol: 'h2', tls: certificate(t) }] : [{}]);

function serverOf(protocol, { tls, settings }, answer) {
  if (protocol === 'http/1.1') return createServer(answer);
  if (protocol === 'https/1.1') return createTlsServer(tls, answer);
  return createSecureServer({ ...tls, allowHTTP1: true, settings, maxSessionMemory: 1_000 }, answer);
}

/**
 * Starts the server. `protocol` is http/1.1, https/1.1 or h2. https/1.1 and h2 need `tls`.
 * `settings` are HTTP/2 settings. `more` contains additional methods. The result lists the HTTP/2
 * connections in `sessions` and the received calls in `calls`. A call has `path`, `version`,
 * `headers`, `sentBytes`, `isGone` (the client aborted the call), `isWhole` (the request arrived
 * completely), and `release()`, which ends a call of `Wait`.
 */
export async function grpcWebServer(t, { protocol = 'http/1.1', tls, settings, more = {}, port = 0 } = {}) {
  const calls = [];
  const all = { ...methods, ...more };
  const server = serverOf(protocol, { tls, settings }, (request, response) => {
    const seen = { path: request.url, version: request.httpVersion, headers: request.headers, sentBytes: 0, isGone: false };
    seen.letGo = new Promise((resolve) => (seen.release = resolve));
    seen.gone = once(response, 'close').then(() => {
      // An HTTP/2 stream also appears to have ended if it was aborted.
      seen.isGone = !response.writableFinished || request.stream?.rstCode > 0;
      seen.isWhole = request.stream ? !request.stream.aborted : request.complete;
      seen.release();
    });
    calls.push(seen);
    const act = all[request.url.split('/').at(-1)];
    act({ messages: messagesOf(request), request, response, seen }).catch(() => response.destroy?.());
  });
  const sessions = [];
  server.on('session', (session) => sessions.push(session));
  const sockets = new Set();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  const close = () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  t.after(close);
  const scheme = protocol === 'http/1.1' ? 'http' : 'https';
  return { url: new URL(`${scheme}://127.0.0.1:${server.address().port}`), trusts: tls?.file, calls, sessions, close, onConnection: (act) => server.on('connection', act) };
}
