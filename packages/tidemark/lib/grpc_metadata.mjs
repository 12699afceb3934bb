// Converts headers and trailers between gRPC over HTTP/2 and gRPC-Web.

import { CallFailure, Code, passedMessage } from './grpc_status.mjs';

/** Each side of a connection sets these headers itself. */
const ofTheConnection = new Set([
  'accept-encoding', 'alt-svc', 'connection', 'content-encoding', 'content-length', 'content-type', 'date', 'expect', 'host',
  'http2-settings', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'te', 'trailer',
  'transfer-encoding', 'upgrade',
]);

const ofTheTranscoder = new Set(['accept', 'grpc-accept-encoding', 'grpc-encoding', 'x-grpc-web']);

const statusNames = new Set(['grpc-status', 'grpc-message']);

const grpcType = /^application\/grpc(\+[\w.-]+)?\s*(?:;|$)/i;
const grpcWebType = /^application\/grpc-web(\+[\w.-]+)?\s*(?:;|$)/i;

/** A part of the path must not consist of dots, which could leave the server's base path. */
const methodPath = /^\/(?!\.+\/)[\w.-]+\/(?!\.+$)[\w.-]+$/;

/**
 * gRPC treats values that are joined with commas as equivalent to a repeated name.
 * @param {Record<string, any>} headers headers as Node joined them
 * @param {string[]} raw alternating names and values
 */
function gathered(headers, raw) {
  const values = new Map();
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i].toLowerCase();
    if (!name.startsWith(':')) values.set(name, [...(values.get(name) ?? []), raw[i + 1]]);
  }
  // The header belongs to HTTP if Node joined its values differently.
  return [...values].map(([name, all]) => [name, headers[name] === all.join(', ') ? all.join(',') : headers[name]]);
}

/** Counts the headers as in HTTP/2. Node advertises the limit but does not enforce it. */
export function mustFit(whose, raw, { headerBytesMax }) {
  const bytes = raw.reduce((sum, text) => sum + text.length, raw.length * 16);
  if (bytes <= headerBytesMax) return;
  throw new CallFailure(Code.resourceExhausted, `${whose} has headers of ${bytes} bytes: headerBytesMax is ${headerBytesMax}`);
}

/** Requests that are not gRPC receive a plain HTTP response. */
export const isGrpc = (headers) => grpcType.test(headers['content-type'] ?? '');

/** Throws [CallFailure] for an unsupported request. */
export function requestOf(headers, raw) {
  const path = headers[':path'];
  if (!methodPath.test(path)) throw new CallFailure(Code.unimplemented, 'the path is not /Service/Method');
  const encoding = headers['grpc-encoding'] ?? 'identity';
  if (encoding !== 'identity') {
    throw new CallFailure(Code.unimplemented, `grpc-encoding is ${encoding}: send messages without compression, because gRPC-Web does not support it`, { 'grpc-accept-encoding': 'identity' });
  }
  const type = `application/grpc-web${grpcType.exec(headers['content-type'])[1] ?? '+proto'}`;
  const passed = gathered(headers, raw).filter(([name]) => !ofTheConnection.has(name) && !ofTheTranscoder.has(name));
  const said = { 'content-type': type, accept: type, 'accept-encoding': 'identity', 'grpc-accept-encoding': 'identity', 'x-grpc-web': '1' };
  return { path, headers: { ...Object.fromEntries(passed), ...said } };
}

/** The body must not be compressed. */
export function isGrpcWeb(headers) {
  const coding = headers['content-encoding'] ?? 'identity';
  return grpcWebType.test(headers['content-type'] ?? '') && coding === 'identity';
}

export const answerType = (type) => `application/grpc${grpcType.exec(type)[1] ?? ''}`;

/** Omits headers of the connection and of gRPC's status. */
export function metadataOf(headers, raw) {
  const kept = ([name]) => !ofTheConnection.has(name) && !statusNames.has(name) && !name.startsWith('access-control-') && name !== 'grpc-accept-encoding';
  return Object.fromEntries(gathered(headers, raw).filter(kept));
}

/** Returns the status in the form of trailers, or null. */
export function statusIn(headers) {
  const code = headers['grpc-status'];
  if (code === undefined) return null;
  if (!/^\d{1,2}$/.test(code)) return { 'grpc-status': String(Code.unknown), 'grpc-message': passedMessage(`grpc-status is "${code}"`) };
  const message = headers['grpc-message'];
  return { 'grpc-status': String(Number(code)), ...(message ? { 'grpc-message': passedMessage(message) } : {}) };
}

/** Skips lines that are not headers. */
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
