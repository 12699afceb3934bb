// The status of a gRPC call: codes, their mapping from HTTP, and messages.

export const Code = Object.freeze({
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
});

/** Clients accept 8 KB of trailers per call. */
const messageCharactersMax = 2_000;

/** 24 days, the maximum delay of a timer. */
const timerMsMax = 2 ** 31 - 1;

/** `metadata` is sent as headers. */
export class CallFailure extends Error {
  /** @param {number} code @param {string} message @param {Record<string, string | string[]>} [metadata] */
  constructor(code, message, metadata = {}) {
    super(message);
    this.code = code;
    this.metadata = metadata;
  }
}

const codeOfHttp = new Map([
  [400, Code.invalidArgument],
  [401, Code.unauthenticated],
  [403, Code.permissionDenied],
  [404, Code.notFound],
  [405, Code.unimplemented],
  [413, Code.resourceExhausted],
  [415, Code.unimplemented],
  [429, Code.resourceExhausted],
  [500, Code.internal],
  [501, Code.unimplemented],
  [502, Code.unavailable],
  [503, Code.unavailable],
  [504, Code.unavailable],
  [507, Code.resourceExhausted],
]);

export const codeOf = (httpStatus) => codeOfHttp.get(httpStatus) ?? Code.unknown;

/** The result is UTF-8 with %XX for all bytes that are not printable ASCII. */
export function encodedMessage(text) {
  const characters = [...text];
  const cut = characters.length > messageCharactersMax ? [...characters.slice(0, messageCharactersMax - 1), '…'].join('') : text;
  return escaped(Buffer.from(cut, 'utf8').toString('latin1'));
}

/** Each character of the message is a byte. %XX sequences remain. */
export const passedMessage = (bytes) => escaped(bytes.replace(/%([0-9a-f]{2})/gi, (_, byte) => String.fromCharCode(parseInt(byte, 16))));

function escaped(bytes) {
  return bytes.replace(/[^ -$&-~]/g, (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
}

const unitMs = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 };

/** Converts a `grpc-timeout` such as `250m`. The result is at least 1. Throws [CallFailure]. */
export function timeoutMs(text) {
  const found = /^(\d{1,8})([HMSmun])$/.exec(text);
  if (!found) throw new CallFailure(Code.invalidArgument, `grpc-timeout is "${text}": expected up to 8 digits and one of H, M, S, m, u, n`);
  return Math.min(Math.max(1, Math.ceil(Number(found[1]) * unitMs[found[2]])), timerMsMax);
}
