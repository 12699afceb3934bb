// Converts gRPC over HTTP/2 to gRPC-Web for one server. The conversion is independent of the
// services' methods.

import { createSecureServer, createServer } from 'node:http2';

import { isGrpc } from './grpc_metadata.mjs';
import { CallFailure, Code } from './grpc_status.mjs';
import { keepAlive } from './http2_ping.mjs';
import { Call } from './transcoder_call.mjs';
import { limits as defaultLimits } from './transcoder_limits.mjs';
import { Upstream } from './upstream.mjs';

export class Transcoder {
  #calls = new Set();
  #sessions = new Set();
  #isStopping = false;

  /**
   * Without `tls` (`{ cert, key }` in PEM), connections are unencrypted. `isTrusted` disables the
   * check of the server's certificate. `logEvent(event, more)` logs each finished call.
   */
  constructor({ to, tls = null, isTrusted = false, logEvent = (_event, _more) => {}, limits = {} }) {
    this.limits = { ...defaultLimits, ...limits };
    this.logEvent = logEvent;
    this.upstream = new Upstream(to, { limits: this.limits, isTrusted });
    const { callsPerConnectionMax, streamWindowBytes, headerBytesMax, sessionMemoryMegabytesMax, connectMs } = this.limits;
    const settings = {
      enablePush: false,
      initialWindowSize: streamWindowBytes,
      maxConcurrentStreams: callsPerConnectionMax,
      maxHeaderListSize: headerBytesMax,
    };
    const options = { settings, maxSessionMemory: sessionMemoryMegabytesMax };
    this.server = tls ? createSecureServer({ ...options, ...tls, handshakeTimeout: connectMs }) : createServer(options);
    this.server.maxConnections = this.limits.connectionsMax;
    this.server.on('session', (session) => this.#take(session));
    this.server.on('stream', (stream, headers, _flags, raw) => this.#call(stream, headers, raw));
    // Errors from clients that use a different protocol.
    this.server.on('sessionError', () => {});
    this.server.on('tlsClientError', () => {});
  }

  /** Resolves to the port. */
  listen({ host, port }) {
    return new Promise((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen({ host, port, exclusive: true }, () => {
        const { port: taken } = /** @type {import('node:net').AddressInfo} */ (this.server.address());
        resolve(taken);
      });
    });
  }

  #take(session) {
    this.#sessions.add(session);
    session.once('close', () => this.#sessions.delete(session));
    keepAlive(session, this.limits);
  }

  #call(stream, headers, raw) {
    const status = headers[':method'] !== 'POST' ? 405 : isGrpc(headers) ? 200 : 415;
    if (status !== 200) {
      stream.on('error', () => {});
      stream.respond({ ':status': status }, { endStream: true });
      return;
    }
    const from = performance.now();
    const call = new Call(stream, headers, this);
    if (this.#calls.size >= this.limits.callsMax) {
      call.fail(new CallFailure(Code.resourceExhausted, `callsMax (${this.limits.callsMax}) calls are running: retry later`));
    } else {
      this.#calls.add(call);
      call.run(raw);
    }
    stream.once('close', () => {
      this.#calls.delete(call);
      const { request, answer } = call.bytes;
      const ms = Math.round(performance.now() - from);
      this.logEvent('call', { path: headers[':path'], grpc_status: call.status, ms, request_bytes: request, answer_bytes: answer });
    });
  }

  /** Waits for the running calls until a timeout. */
  async stop() {
    if (this.#isStopping) return;
    this.#isStopping = true;
    const closed = new Promise((resolve) => this.server.close(resolve));
    for (const session of this.#sessions) session.close();
    const hurry = setTimeout(() => this.#end(), this.limits.graceMs);
    await closed;
    clearTimeout(hurry);
    this.upstream.close();
  }

  #end() {
    for (const call of this.#calls) call.fail(new CallFailure(Code.unavailable, 'the proxy is stopping: retry later'));
    setTimeout(() => this.#sessions.forEach((session) => session.destroy()), this.limits.lingerMs).unref();
  }
}
