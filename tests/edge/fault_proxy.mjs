// A proxy in front of a server. The proxy can reject the next writes as an overloaded server would,
// and records the forwarded requests.

import { createServer, request } from 'node:http';
import { gunzipSync } from 'node:zlib';

const overloadedText = 'the service is busy: repeat the request in a second';
const codes = { 429: 'too many requests', 503: 'unavailable' };

/** Returns the body of a rejection, with every member that a client may read. */
function refusal(status) {
  const body = { code: codes[status], message: overloadedText, error: overloadedText };
  return JSON.stringify(body);
}

async function whole(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces);
}

class FaultProxy {
  constructor() {
    /** The proxy rejects the next writes with these statuses. */
    this.refuse = [];
    this.beforeWrite = async () => {};
    this.seen = [];
  }

  async start(target) {
    this.server = createServer((incoming, outgoing) => {
      this.#answer(target, incoming, outgoing).catch(() => outgoing.destroy());
    });
    await new Promise((resolve) => this.server.listen({ port: 0, host: '127.0.0.1' }, resolve));
    this.url = `http://127.0.0.1:${this.server.address().port}`;
  }

  async stop() {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  /** Returns the requests with a body to the write routes since the last call. */
  takeWrites() {
    const writes = this.seen.filter(({ path }) => /write/.test(path));
    this.seen = [];
    return writes;
  }

  async #answer(target, incoming, outgoing) {
    const { method, url: path, headers } = incoming;
    const body = await whole(incoming);
    const entry = { method, path, headers, bytes: body.length, body };
    this.seen.push(entry);
    if (this.refuse.length > 0 && /write/.test(path)) {
      entry.status = this.refuse.shift();
      entry.answer = refusal(entry.status);
      const length = Buffer.byteLength(entry.answer);
      outgoing.writeHead(entry.status, {
        'Content-Type': 'application/json',
        'Content-Length': length,
        'Retry-After': '1',
        'X-Influxdb-Error': overloadedText,
      });
      outgoing.end(entry.answer);
      return;
    }
    if (/write/.test(path)) await this.beforeWrite();
    const passed = request(`${target}${path}`, { method, headers, agent: false });
    const response = await new Promise((resolve, reject) => {
      passed.once('response', resolve);
      passed.once('error', reject);
      passed.end(body);
    });
    const answer = await whole(response);
    entry.status = response.statusCode;
    const isGzip = response.headers['content-encoding'] === 'gzip';
    entry.answer = String(isGzip && answer.length > 0 ? gunzipSync(answer) : answer);
    const kept = { ...response.headers };
    delete kept['transfer-encoding'];
    outgoing.writeHead(response.statusCode, kept);
    outgoing.end(answer);
  }
}

export async function faultProxy(t, target) {
  const proxy = new FaultProxy();
  await proxy.start(target);
  t.after(() => proxy.stop());
  return proxy;
}
