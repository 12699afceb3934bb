// An HTTP client with very little overhead, for one connection that stays open. Node's client takes
// longer than a small query.

import { connect } from 'node:net';

const lineEnd = Buffer.from('\r\n');
const headEnd = Buffer.from('\r\n\r\n');
const chunksEnd = Buffer.from('0\r\n\r\n');

/** Opens a connection to a target, `{ url, headers }`. */
export async function open({ url, headers }) {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  const common = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  let pieces = [];
  let waiting = null;
  socket.on('data', (piece) => {
    pieces.push(piece);
    if (waiting?.isWhole(pieces)) waiting.settle();
  });
  socket.on('close', () => waiting?.fail(new Error('the server closed the connection')));
  socket.on('error', (error) => waiting?.fail(error));

  /** Resolves to `{ ms, status, body }`. The duration does not include the call of `body()`. */
  const ask = async (path, body) => {
    // Without this check, a request on a closed socket would wait forever.
    if (!socket.writable) throw new Error('the server closed the connection');
    const length = body === undefined ? '' : `Content-Length: ${Buffer.byteLength(body)}\r\n`;
    const line = `${body === undefined ? 'GET' : 'POST'} ${path} HTTP/1.1\r\n`;
    const head = `${line}Host: ${hostname}\r\n${common.join('')}${length}\r\n`;
    pieces = [];
    const whole = new Promise((resolve, reject) => {
      waiting = { isWhole: completeness(), settle: resolve, fail: reject };
    });
    const from = performance.now();
    socket.write(head + (body ?? ''));
    await whole;
    const ms = performance.now() - from;
    waiting = null;
    const bytes = Buffer.concat(pieces);
    const headBytes = bytes.indexOf(headEnd) + headEnd.length;
    const fields = bytes.subarray(0, headBytes).toString('latin1').toLowerCase();
    const chunked = fields.includes('transfer-encoding: chunked');
    const content = bytes.subarray(headBytes);
    return {
      ms,
      status: Number(fields.slice(9, 12)),
      body: () => (chunked ? dechunked(content) : content).toString('utf8'),
    };
  };
  return { ask, close: () => socket.destroy() };
}

function completeness() {
  let head = null;
  let total = 0;
  return (pieces) => {
    total += pieces.at(-1).length;
    if (!head) {
      const bytes = Buffer.concat(pieces);
      const end = bytes.indexOf(headEnd);
      if (end < 0) return false;
      const text = bytes.subarray(0, end).toString('latin1').toLowerCase();
      const length = /content-length: (\d+)/.exec(text);
      const empty = / (204|304) /.test(text.slice(0, 16));
      head = { bytes: end + headEnd.length, length: empty ? 0 : length && Number(length[1]) };
    }
    if (head.length !== null) return total >= head.bytes + head.length;
    // Waits for the minimum length, because the end of the head may look like the last chunk.
    if (total < head.bytes + chunksEnd.length) return false;
    const last = pieces.at(-1);
    const tail = last.length >= 5 || pieces.length < 2 ? last : Buffer.concat(pieces.slice(-5));
    return tail.subarray(-chunksEnd.length).equals(chunksEnd);
  };
}

function dechunked(bytes) {
  const parts = [];
  let at = 0;
  for (;;) {
    const end = bytes.indexOf(lineEnd, at);
    const length = parseInt(bytes.subarray(at, end).toString('latin1'), 16);
    if (!(length > 0)) return Buffer.concat(parts);
    parts.push(bytes.subarray(end + 2, end + 2 + length));
    at = end + 2 + length + 2;
  }
}
