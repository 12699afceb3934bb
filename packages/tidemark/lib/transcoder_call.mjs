// One call on its way through `tidemark flight`: a stream of gRPC over HTTP/2, and the same in gRPC-Web.

import { constants } from 'node:http2';

import { messageIn } from './connection.mjs';
import { Frames } from './grpc_frames.mjs';
import { answerType, isGrpcWeb, metadataOf, mustFit, requestOf, statusIn, trailersOf } from './grpc_metadata.mjs';
import { CallFailure, Code, codeOf, encodedMessage, timeoutMs } from './grpc_status.mjs';

/** Whoever called is gone: there is nobody to tell. */
const cancelled = () => new CallFailure(Code.cancelled, 'the client cancelled the call');

/** Resolves when `writable` takes more; rejects when it takes nothing any more. */
function drained(writable) {
  return /** @type {Promise<void>} */ (new Promise((resolve, reject) => {
    const settle = () => {
      writable.off('drain', settle);
      writable.off('close', settle);
      if (writable.destroyed) reject(new Error('nothing more is taken'));
      else resolve();
    };
    if (writable.destroyed) return settle();
    writable.on('drain', settle);
    writable.on('close', settle);
  }));
}

/** What is read of a body that is an error, as text. One that breaks off has what came. */
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
    // The status says enough.
  }
  return Buffer.concat(pieces).subarray(0, bytesMax).toString('utf8');
}

export class Call {
  /** @type {import('./upstream.mjs').Exchange | null} */
  #exchange = null;
  /** Why it ended, once it did. @type {CallFailure | null} */
  #failure = null;
  #isSettled = false;
  /** Those of the answer, once it has begun. @type {Frames | null} */
  #frames = null;
  #sending = Promise.resolve();
  #trailers = {};
  #timers = [];
  bytes = { request: 0, answer: 0 };
  /** Of gRPC, once it is settled. @type {number} */
  status = Code.cancelled;

  /** @param {import('node:http2').ServerHttp2Stream} stream @param {Record<string, any>} headers those that it came with */
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
    // What breaks a stream closes it too.
    stream.on('error', () => {});
    stream.once('close', () => {
      if (!this.#isSettled) this.fail(cancelled());
      for (const timer of this.#timers) clearTimeout(timer);
    });
  }

  /** Ends the call with a status that is not the server's. The first one counts. */
  fail(failure) {
    const isFirst = !this.#failure;
    this.#failure ??= failure;
    if (isFirst && !this.#isSettled) this.#after(this.limits.lingerMs, () => this.#reset());
    // A client whose clock is a moment behind ours would say that the message is broken, and not that it is too late: the
    // message goes on to its end, or until the stream is reset.
    if (failure.code === Code.deadlineExceeded && this.#frames?.isWithinMessage) return this.#frames.endWithMessage();
    this.#exchange?.cancel();
    if (!this.#isSettled) this.#settleFailed();
  }

  #settleFailed() {
    const { code, message, metadata } = this.#failure;
    this.#settle({ ...metadata, 'grpc-status': String(code), 'grpc-message': encodedMessage(message) });
  }

  /** Passes the call on; resolves when it is settled, and never rejects. `raw` are the headers as they came. */
  async run(raw) {
    try {
      const timeout = this.headers['grpc-timeout'];
      if (timeout !== undefined) this.#expireIn(timeoutMs(timeout));
      mustFit('the request', raw, this.limits);
      const asked = requestOf(this.headers, raw);
      this.#exchange = await this.upstream.open(asked);
      // It may have ended while the connection was made.
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
      // The answer is all there, and the client did not read it in time.
      if (this.#isSettled) this.#reset();
      else this.fail(new CallFailure(Code.deadlineExceeded, `the deadline is over, ${ms} ms`));
    });
  }

  #reset() {
    if (!this.stream.destroyed) this.stream.close(constants.NGHTTP2_CANCEL);
  }

  /** What the client sends goes to the server until either has enough. */
  async #send(request) {
    const { messageBytesMax } = this.limits;
    const frames = new Frames({ whose: 'the request', hasTrailers: false, messageBytesMax, trailerBytesMax: 0 });
    try {
      // The stream goes on without its request: the answer is the other half of it.
      for await (const piece of this.stream.iterator({ destroyOnReturn: false })) {
        for (const part of frames.take(piece)) await this.#pass(request, part, 'request');
      }
      if (!frames.isBetween) throw new CallFailure(Code.invalidArgument, 'the request ends within a message');
      request.end();
    } catch (error) {
      // A server that takes no more says why in its answer.
      if (error instanceof CallFailure) this.fail(error);
    }
  }

  async #pass(writable, part, way) {
    this.bytes[way] += part.length;
    if (!writable.write(part)) await drained(writable);
  }

  /** @param {import('./upstream.mjs').Answer} answer */
  async #answer({ status, headers, raw, body }) {
    mustFit('the answer', raw, this.limits);
    const metadata = metadataOf(headers, raw);
    const told = statusIn(headers);
    if (status !== 200 && !told) {
      const message = messageIn(await textOf(body, this.limits.errorBodyBytesMax));
      throw new CallFailure(codeOf(status), message || `the server answered ${status}`, metadata);
    }
    if (told && (status !== 200 || told['grpc-status'] !== '0')) return this.#trailersOnly({ ...metadata, ...told });
    if (!isGrpcWeb(headers)) {
      const what = [headers['content-type'] ?? 'no type', headers['content-encoding']].filter(Boolean).join(', ');
      throw new CallFailure(Code.unknown, `the server answered ${status} with ${what}: that is no gRPC-Web`, metadata);
    }
    const { messageBytesMax, trailerBytesMax } = this.limits;
    const frames = new Frames({ whose: 'the answer', hasTrailers: !told, messageBytesMax, trailerBytesMax });
    this.#frames = frames;
    if (!told) this.stream.respond({ ':status': 200, 'content-type': this.type, ...metadata }, { waitForTrailers: true });
    await this.#passAnswer(frames, body, told);
    if (told) this.#settle({ ...metadata, ...told });
  }

  #trailersOnly(trailers) {
    this.#exchange.cancel();
    this.#settle(trailers);
  }

  /** With `told` the status stands in the headers, and there is no body. */
  async #passAnswer(frames, body, told) {
    try {
      for await (const piece of body) {
        if (told) throw new CallFailure(Code.internal, 'the answer has its status in the headers, and a body');
        for (const part of frames.take(piece)) await this.#pass(this.stream, part, 'answer');
        if (this.#failure && !frames.isWithinMessage) return this.fail(this.#failure);
        if (!frames.trailers || this.#isSettled) continue;
        this.#settle(trailersOf(frames.trailers));
        // The connection is of use again once the body has ended; one that does not end is closed.
        const late = setTimeout(() => this.#exchange.cancel(), this.limits.lingerMs).unref();
        body.once('close', () => clearTimeout(late));
      }
    } catch (error) {
      if (this.#isSettled) return;
      throw error instanceof CallFailure ? error : cut(frames);
    }
    if (!frames.trailers && !told && !this.#isSettled) throw cut(frames);
  }

  /** The end of the stream: trailers after what is still on its way, or all of the answer. */
  #settle(trailers) {
    this.#isSettled = true;
    this.status = Number(trailers['grpc-status']);
    const { stream } = this;
    if (stream.destroyed || stream.closed) return;
    // Whatever the client still sends, nobody takes it.
    if (!this.#exchange?.request.writableEnded) this.#exchange?.cancel();
    if (stream.headersSent) {
      this.#trailers = trailers;
      stream.end();
    } else {
      stream.respond({ ':status': 200, 'content-type': this.type, ...trailers }, { endStream: true });
      this.#hangUp();
    }
  }

  /** The answer is out: a client that still sends is told so, and what it sent is read away. */
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

/** A short answer must never look like a whole one. */
const cut = (frames) => new CallFailure(Code.dataLoss, `the answer was cut ${frames.isBetween ? 'before its trailers' : 'within a frame'}`);
