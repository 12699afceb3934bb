// What goes along with a call: headers of gRPC over HTTP/2 as headers of gRPC-Web, and back.

import { CallFailure, Code, passedMessage } from './grpc_status.mjs';

/** Those of one connection, and those that say how a body is carried: each side has its own. */
const ofTheConnection = new Set([
  'accept-encoding', 'alt-svc', 'connection', 'content-encoding', 'content-length', 'content-type', 'date', 'expect', 'host',
  'http2-settings', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'te', 'trailer',
  'transfer-encoding', 'upgrade',
]);

/** Said here, and not by whom a call comes from or goes to. */
const ofTheTranscoder = new Set(['accept', 'grpc-accept-encoding', 'grpc-encoding', 'x-grpc-web']);

const statusNames = new Set(['grpc-status', 'grpc-message']);

const grpcType = /^application\/grpc(\+[\w.-]+)?\s*(?:;|$)/i;
const grpcWebType = /^application\/grpc-web(\+[\w.-]+)?\s*(?:;|$)/i;

/** `/package.Service/Method`; neither part is `..`, which would leave what the server has there. */
const methodPath = /^\/(?!\.+\/)[\w.-]+\/(?!\.+$)[\w.-]+$/;

/**
 * Headers by their names. A name that is there several times has its values with commas between, which gRPC reads as
 * the same, also of those that end with `-bin`.
 *
 * @param {Record<string, any>} headers as Node joined them
 * @param {string[]} raw names and values in turn
 */
function gathered(headers, raw) {
  const values = new Map();
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i].toLowerCase();
    if (!name.startsWith(':')) values.set(name, [...(values.get(name) ?? []), raw[i + 1]]);
  }
  // What Node joined in its own way, or took once, is of HTTP.
  return [...values].map(([name, all]) => [name, headers[name] === all.join(', ') ? all.join(',') : headers[name]]);
}

/** Throws [CallFailure] for headers beyond `headerBytesMax`, each counted as HTTP/2 does. Node only says that limit. */
export function mustFit(whose, raw, { headerBytesMax }) {
  const bytes = raw.reduce((sum, text) => sum + text.length, raw.length * 16);
  if (bytes <= headerBytesMax) return;
  throw new CallFailure(Code.resourceExhausted, `${whose} has headers of ${bytes} bytes: headerBytesMax is ${headerBytesMax}`);
}

/** Whether this is gRPC at all: anything else gets an answer of HTTP. */
export const isGrpc = (headers) => grpcType.test(headers['content-type'] ?? '');

/** A request in gRPC-Web: its path and its headers. Throws [CallFailure] for what cannot be passed. */
export function requestOf(headers, raw) {
  const path = headers[':path'];
  if (!methodPath.test(path)) throw new CallFailure(Code.unimplemented, 'the path is not /Service/Method');
  const encoding = headers['grpc-encoding'] ?? 'identity';
  if (encoding !== 'identity') {
    throw new CallFailure(Code.unimplemented, `grpc-encoding is ${encoding}: gRPC-Web has no compression of messages`, { 'grpc-accept-encoding': 'identity' });
  }
  const type = `application/grpc-web${grpcType.exec(headers['content-type'])[1] ?? '+proto'}`;
  const passed = gathered(headers, raw).filter(([name]) => !ofTheConnection.has(name) && !ofTheTranscoder.has(name));
  const said = { 'content-type': type, accept: type, 'accept-encoding': 'identity', 'grpc-accept-encoding': 'identity', 'x-grpc-web': '1' };
  return { path, headers: { ...Object.fromEntries(passed), ...said } };
}

/** Whether an answer's body has the frames of gRPC-Web, as they are. */
export function isGrpcWeb(headers) {
  const coding = headers['content-encoding'] ?? 'identity';
  return grpcWebType.test(headers['content-type'] ?? '') && coding === 'identity';
}

/** The type of the answer in gRPC to a request of `type`. */
export const answerType = (type) => `application/grpc${grpcType.exec(type)[1] ?? ''}`;

/** An answer's headers that are metadata: all but those of the connection and of gRPC's status. */
export function metadataOf(headers, raw) {
  const kept = ([name]) => !ofTheConnection.has(name) && !statusNames.has(name) && !name.startsWith('access-control-') && name !== 'grpc-accept-encoding';
  return Object.fromEntries(gathered(headers, raw).filter(kept));
}

/** The status of a call in headers or trailers, as trailers have it; null where there is none. */
export function statusIn(headers) {
  const code = headers['grpc-status'];
  if (code === undefined) return null;
  if (!/^\d{1,2}$/.test(code)) return { 'grpc-status': String(Code.unknown), 'grpc-message': passedMessage(`grpc-status is "${code}"`) };
  const message = headers['grpc-message'];
  return { 'grpc-status': String(Number(code)), ...(message ? { 'grpc-message': passedMessage(message) } : {}) };
}

/** The trailers in the payload of gRPC-Web's last frame. A line that is no header is left out. Throws [CallFailure]. */
export function trailersOf(payload) {
  const values = new Map();
  for (const line of payload.toString('latin1').split(/\r?\n/)) {
    const found = /^([0-9a-z_.-]+):[ \t]*(.*?)[ \t]*$/i.exec(line);
    const name = found?.[1].toLowerCase();
    if (name && !ofTheConnection.has(name)) values.set(name, [...(values.get(name) ?? []), found[2]]);
  }
  const all = Object.fromEntries([...values].map(([name, of]) => [name, statusNames.has(name) ? of[0] : of.join(',')]));
  const status = statusIn(all);
  if (!status) throw new CallFailure(Code.unknown, 'the server ended the call without a grpc-status');
  const metadata = Object.entries(all).filter(([name, value]) => !statusNames.has(name) && /^[\t -~\x80-\xff]*$/.test(value));
  return { ...Object.fromEntries(metadata), ...status };
}
