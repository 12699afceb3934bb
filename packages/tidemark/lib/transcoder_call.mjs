// One call through `tidemark flight`: a stream of gRPC over HTTP/2, and its counterpart in
// gRPC-Web.

import { constants } from 'node:http2';

import { messageIn } from './connection.mjs';
import { Frames } from './grpc_frames.mjs';
import { answerType, isGrpcWeb, metadataOf, mustFit, requestOf, statusIn, trailersOf } from './grpc_metadata.mjs';
import { CallFailure, Code, codeOf, encodedMessage, timeoutMs } from './grpc_status.mjs';

/** The client has disconnected, so the status is only logged. */
const cancelled = () => new CallFailure(Code.cancelled, 'the client cancelled the call');

/** Resolves when `writable` accepts more data, and rejects when it is destroyed. */
function drained(writable) {
  return /** @type {Promise<void>} */ (new Promise((resolve, reject) => {
    const settle = () => {
      writable.off('drain', settle);
      writable.off('close', settle);
      if (writable.destroyed) reject(new Error('the stream was closed'));
      else resolve();
    };
    if (writable.destroyed) return settle();
    writable.on('drain', settle);
    writable.on('close', settle);
  }));
}

/** If the body breaks off, returns the received part. */
async function textOf(body, bytesMax) {
  const pieces = [];
  let bytes = 0;
  try {
    for await (const piece of body) {
      pieces.push(piece);
      bytes += piece.length;
      if (bytes >= bytesMax) break;
    }
  } catch {
    // The error can be reported without the body.
  }
  return Buffer.concat(pieces).subarray(0, bytesMax).toString('utf8');
}

export class Call {
  /** @type {import('./upstream.mjs').Exchange | null} */
  #exchange = null;
  /** @type {CallFailure | null} */
  #failure = null;
  #isSettled = false;
  /** @type {Frames | null} */
  #frames = null;
  #sending = Promise.resolve();
  #trailers = {};
  #timers = [];
  bytes = { request: 0, answer: 0 };
  /** @type {number} */
  status = Code.cancelled;

  /**
   * @param {import('node:http2').ServerHttp2Stream} stream @param {Record<string, any>} headers the
   * headers of the request
   */
  constructor(stream, headers, { upstream, limits }) {
    this.stream = stream;
    this.headers = headers;
    this.type = answerType(headers['content-type']);
    this.upstream = upstream;
    this.limits = limits;
    stream.on('wantTrailers', () => {
      stream.sendTrailers(this.#trailers);
      this.#hangUp();
    });
    // An error of a stream also closes it.
    stream.on('error', () => {});
    stream.once('close', () => {
      if (!this.#isSettled) this.fail(cancelled());
      for (const timer of this.#timers) clearTimeout(timer);
    });
  }

  /** Only the first failure is used. */
  fail(failure) {
    const isFirst = !this.#failure;
    this.#failure ??= failure;
    if (isFirst && !this.#isSettled) this.#after(this.limits.lingerMs, () => this.#reset());
    // A client whose clock is slightly behind would report a broken message instead of an exceeded
    // deadline.
    if (failure.code === Code.deadlineExceeded && this.#frames?.isWithinMessage) return this.#frames.endWithMessage();
    this.#exchange?.cancel();
    if (!this.#isSettled) this.#settleFailed();
  }

  #settleFailed() {
    const { code, message, metadata } = this.#failure;
    this.#settle({ ...metadata, 'grpc-status': String(code), 'grpc-message': encodedMessage(message) });
  }

  /** Never rejects. `raw` contains the headers as received. */
  async run(raw) {
    try {
      const timeout = this.headers['grpc-timeout'];
      if (timeout !== undefined) this.#expireIn(timeoutMs(timeout));
      mustFit('the request', raw, this.limits);
      const asked = requestOf(this.headers, raw);
      this.#exchange = await this.upstream.open(asked);
      // The call may have failed while the connection was opened.
      if (this.#failure) throw this.#failure;
      this.#sending = this.#send(this.#exchange.request);
      await this.#answer(await this.#exchange.answer);
    } catch (error) {
      this.fail(this.#failure ?? (error instanceof CallFailure ? error : new CallFailure(Code.internal, error.message)));
    }
  }

  #after(ms, act) {
    const timer = setTimeout(act, ms);
    if (this.stream.destroyed) clearTimeout(timer);
    else this.#timers.push(timer);
  }

  #expireIn(ms) {
    this.#after(ms, () => {
      // The response is complete, but the client did not read it in time.
      if (this.#isSettled) this.#reset();
      else this.fail(new CallFailure(Code.deadlineExceeded, `the deadline of ${ms} ms has passed`));
    });
  }

  #reset() {
    if (!this.stream.destroyed) this.stream.close(constants.NGHTTP2_CANCEL);
  }

  async #send(request) {
    const { messageBytesMax } = this.limits;
    const frames = new Frames({ whose: 'the request', hasTrailers: false, messageBytesMax, trailerBytesMax: 0 });
    try {
      // The stream must stay open for the response.
      for await (const piece of this.stream.iterator({ destroyOnReturn: false })) {
        for (const part of frames.take(piece)) await this.#pass(request, part, 'request');
      }
      if (!frames.isBetween) throw new CallFailure(Code.invalidArgument, 'the request ends within a message');
      request.end();
    } catch (error) {
      // A server that stops reading reports the reason in its response.
      if (error instanceof CallFailure) this.fail(error);
    }
  }

  async #pass(writable, part, way) {
    this.bytes[way] += part.length;
    if (!writable.write(part)) await drained(writable);
  }

  /** @param {import('./upstream.mjs').Answer} answer */
  async #answer({ status, headers, raw, body }) {
    mustFit('the response', raw, this.limits);
    const metadata = metadataOf(headers, raw);
    const told = statusIn(headers);
    if (status !== 200 && !told) {
      const message = messageIn(await textOf(body, this.limits.errorBodyBytesMax));
      throw new CallFailure(codeOf(status), message || `the server returned ${status}`, metadata);
    }
    if (told && (status !== 200 || told['grpc-status'] !== '0')) return this.#trailersOnly({ ...metadata, ...told });
    if (!isGrpcWeb(headers)) {
      const what = [headers['content-type'] ?? 'no type', headers['content-encoding']].filter(Boolean).join(', ');
      throw new CallFailure(Code.unknown, `the server returned ${status} with ${what} instead of gRPC-Web`, metadata);
    }
    const { messageBytesMax, trailerBytesMax } = this.limits;
    const frames = new Frames({ whose: 'the response', hasTrailers: !told, messageBytesMax, trailerBytesMax });
    this.#frames = frames;
    if (!told) this.stream.respond({ ':status': 200, 'content-type': this.type, ...metadata }, { waitForTrailers: true });
    await this.#passAnswer(frames, body, told);
    if (told) this.#settle({ ...metadata, ...told });
  }

  #trailersOnly(trailers) {
    this.#exchange.cancel();
    this.#settle(trailers);
  }

  /** With `told`, the headers contain the status, and the body must be empty. */
  async #passAnswer(frames, body, told) {
    try {
      for await (const piece of body) {
        if (told) throw new CallFailure(Code.internal, 'the response has its status in the headers and also a body');
        for (const part of frames.take(piece)) await this.#pass(this.stream, part, 'answer');
        if (this.#failure && !frames.isWithinMessage) return this.fail(this.#failure);
        if (!frames.trailers || this.#isSettled) continue;
        this.#settle(trailersOf(frames.trailers));
        // If the body does not end, the connection is closed and cannot be reused.
        const late = setTimeout(() => this.#exchange.cancel(), this.limits.lingerMs).unref();
        body.once('close', () => clearTimeout(late));
      }
    } catch (error) {
      if (this.#isSettled) return;
      throw error instanceof CallFailure ? error : cut(frames);
    }
    if (!frames.trailers && !told && !this.#isSettled) throw cut(frames);
  }

  /** Sends trailers after the pending data, or a response without a body. */
  #settle(trailers) {
    this.#isSettled = true;
    this.status = Number(trailers['grpc-status']);
    const { stream } = this;
    if (stream.destroyed || stream.closed) return;
    if (!this.#exchange?.request.writableEnded) this.#exchange?.cancel();
    if (stream.headersSent) {
      this.#trailers = trailers;
      stream.end();
    } else {
      stream.respond({ ':status': 200, 'content-type': this.type, ...trailers }, { endStream: true });
      this.#hangUp();
    }
  }

  /** Tells a client that still sends that the response is complete. */
  #hangUp() {
    const { stream } = this;
    setImmediate(async () => {
      if (stream.readableEnded || stream.destroyed) return;
      stream.close(constants.NGHTTP2_NO_ERROR);
      await this.#sending;
      stream.resume();
    });
  }
}

/** A truncated response must never look complete. */
const cut = (frames) => new CallFailure(Code.dataLoss, `the response was truncated ${frames.isBetween ? 'before its trailers' : 'within a frame'}`);
