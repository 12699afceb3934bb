// The server that supports gRPC-Web. Plain connections use HTTP/1.1. With TLS, the server chooses
// HTTP/1.1 or HTTP/2.

import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { connect as connectSession } from 'node:http2';
import { Agent as TlsAgent, request as requestTls } from 'node:https';
import { isIP } from 'node:net';
import { connect as connectTls } from 'node:tls';

import { CallFailure, Code } from './grpc_status.mjs';
import { keepAlive } from './http2_ping.mjs';

/**
 * @typedef {object} Exchange
 * @property {import('node:stream').Writable} request the request body
 * @property {Promise<Answer>} answer rejects if the server does not respond
 * @property {() => void} cancel ends the call and discards unread data
 * @typedef {object} Answer
 * @property {number} status
 * @property {Record<string, any>} headers
 * @property {string[]} raw alternating names and values
 * @property {import('node:stream').Readable} body
 */

const unanswered = (error) => {
  throw new CallFailure(Code.unavailable, `the server does not respond (${error.code ?? error.message})`);
};

const tooLate = ({ connectMs }) => new Error(`no connection within ${connectMs} ms (connectMs)`);

/** Each HTTP/2 session serves the number of concurrent calls that the server allows. */
class Sessions {
  /**
   * @type {Map<import('node:http2').ClientHttp2Session, number>} the number of calls per session
   */
  #calls = new Map();
  #opening = null;

  constructor(open, limits) {
    this.open = open;
    this.limits = limits;
  }

  #roomOf(session) {
    const theirs = session.remoteSettings?.maxConcurrentStreams ?? this.limits.callsPerConnectionMax;
    return Math.min(theirs, this.limits.callsPerConnectionMax) - this.#calls.get(session);
  }

  /** Returns null if the server uses HTTP/1.1. */
  async taken() {
    for (;;) {
      const usable = [...this.#calls.keys()].filter((session) => !session.closed && !session.destroyed);
      const [best] = usable.sort((a, b) => this.#roomOf(b) - this.#roomOf(a));
      const isEnough = best && (this.#roomOf(best) > 0 || usable.length >= this.limits.upstreamSessionsMax);
      if (isEnough) {
        this.#calls.set(best, this.#calls.get(best) + 1);
        return best;
      }
      this.#opening ??= this.#opened().finally(() => (this.#opening = null));
      if (!(await this.#opening)) return null;
    }
  }

  async #opened() {
    const session = await this.open();
    if (!session) return null;
    this.#calls.set(session, 0);
    const { pingMs, pingAnswerMs } = this.limits;
    keepAlive(session, { pingMs, pingAnswerMs, isWanted: () => this.#calls.get(session) > 0 });
    session.once('close', () => this.#calls.delete(session));
    return session;
  }

  left(session) {
    if (this.#calls.has(session)) this.#calls.set(session, this.#calls.get(session) - 1);
  }

  close() {
    for (const session of this.#calls.keys()) session.close();
  }
}

export class Upstream {
  #hasHttp2;

  /** `isTrusted` disables the check of the certificate of a server in the same process. */
  constructor(url, { limits, isTrusted = false }) {
    this.url = url;
    this.limits = limits;
    this.base = url.pathname.replace(/\/+$/, '');
    this.isTls = url.protocol === 'https:';
    this.#hasHttp2 = this.isTls;
    this.host = url.hostname.replace(/^\[(.*)\]$/, '$1');
    const { callsMax, upstreamIdleMax, upstreamIdleMs } = limits;
    const kept = { keepAlive: true, maxSockets: callsMax, maxFreeSockets: upstreamIdleMax, timeout: upstreamIdleMs };
    this.tls = { rejectUnauthorized: !isTrusted, servername: isIP(this.host) ? '' : this.host };
    this.agent = this.isTls ? new TlsAgent({ ...kept, ...this.tls }) : new Agent(kept);
    this.sessions = new Sessions(() => this.#session(), limits);
  }

  /**
   * Throws [CallFailure] if the server is unreachable.
   * @returns {Promise<Exchange>}
   */
  async open({ path, headers }) {
    const asked = { path: `${this.base}${path}`, headers };
    const session = this.#hasHttp2 ? await this.sessions.taken().catch(unanswered) : null;
    return session ? this.#overSession(session, asked) : this.#overHttp1(asked);
  }

  /** Returns a session if the server chose HTTP/2. */
  async #session() {
    const { limits, host, url } = this;
    const socket = connectTls({ host, port: Number(url.port || 443), ALPNProtocols: ['h2', 'http/1.1'], ...this.tls });
    const late = setTimeout(() => socket.destroy(tooLate(limits)), limits.connectMs);
    try {
      await once(socket, 'secureConnect');
      if (socket.alpnProtocol === 'h2') return await this.#sessionOver(socket);
    } finally {
      clearTimeout(late);
    }
    socket.destroy();
    this.#hasHttp2 = false;
    return null;
  }

  async #sessionOver(socket) {
    const { limits, url } = this;
    const settings = { enablePush: false, initialWindowSize: limits.streamWindowBytes, maxHeaderListSize: limits.headerBytesMax };
    const session = connectSession(url, { createConnection: () => socket, settings, maxSessionMemory: limits.sessionMemoryMegabytesMax });
    await new Promise((resolve, reject) => {
      session.once('remoteSettings', resolve);
      // This handler stays for the whole session. Each call also receives the end of the session.
      session.on('error', reject);
      session.once('close', () => reject(new Error('the connection was closed')));
    });
    return session;
  }

  /** @returns {Exchange} */
  #overSession(session, { path, headers }) {
    const ending = new AbortController();
    const stream = session.request({ ':method': 'POST', ':path': path, ...headers }, { signal: ending.signal });
    stream.once('close', () => this.sessions.left(session));
    const answer = new Promise((resolve, reject) => {
      stream.once('response', (received, _flags, raw) => resolve({ status: received[':status'], headers: received, raw, body: stream }));
      stream.on('error', reject);
      stream.once('close', () => reject(new Error('the stream was closed')));
    }).catch(unanswered);
    // A call may end before it awaits the promise.
    answer.catch(() => {});
    // `close` would first complete the sent data, so that a partial request would look complete.
    return { request: stream, answer, cancel: () => ending.abort() };
  }

  /** @returns {Exchange} */
  #overHttp1({ path, headers }) {
    const { limits, host, url, agent } = this;
    const send = this.isTls ? requestTls : request;
    const asked = { host, port: url.port, method: 'POST', path, headers, agent, maxHeaderSize: limits.headerBytesMax };
    const sent = send({ ...asked, setHost: true });
    let late;
    sent.once('socket', (socket) => {
      if (!socket.connecting) return;
      late = setTimeout(() => sent.destroy(tooLate(limits)), limits.connectMs);
      socket.once(this.isTls ? 'secureConnect' : 'connect', () => clearTimeout(late));
    });
    sent.once('close', () => clearTimeout(late));
    const answer = new Promise((resolve, reject) => {
      sent.once('response', (response) => resolve({ status: response.statusCode, headers: response.headers, raw: response.rawHeaders, body: response }));
      sent.on('error', reject);
      sent.once('close', () => reject(new Error('the connection was closed')));
    }).catch(unanswered);
    answer.catch(() => {});
    // A server may respond before the client sends a message.
    sent.flushHeaders();
    return { request: sent, answer, cancel: () => sent.destroy() };
  }

  close() {
    this.agent.destroy();
    this.sessions.close();
  }
}
