// Parses frames of gRPC and gRPC-Web: a byte of flags, a length of four bytes, and the payload.
// Messages pass through in pieces and are not buffered.

import { CallFailure, Code } from './grpc_status.mjs';

const headBytes = 5;
const messageFlags = 0x00;
const trailerFlags = 0x80;

/**
 * Pieces may have any size. `whose` names the source in errors. With `hasTrailers`, the last frame
 * contains gRPC-Web trailers.
 */
export class Frames {
  #head = Buffer.alloc(headBytes);
  #headBytes = 0;
  #bytesLeft = 0;
  /** @type {Buffer[] | null} */
  #trailerPieces = null;
  #isEnding = false;
  /** @type {Buffer | null} */
  trailers = null;

  constructor({ whose, hasTrailers, messageBytesMax, trailerBytesMax }) {
    this.whose = whose;
    this.hasTrailers = hasTrailers;
    this.limits = { messageBytesMax, trailerBytesMax };
  }

  /** The stream may end only between frames. */
  get isBetween() {
    return this.#headBytes === 0 && this.#bytesLeft === 0;
  }

  /** Trailers in the middle of a message would produce a broken response. */
  get isWithinMessage() {
    return this.#bytesLeft > 0 && !this.#trailerPieces;
  }

  endWithMessage() {
    this.#isEnding = true;
  }

  /** Yields the parts of `piece` that belong to messages, in order. Throws [CallFailure]. */
  *take(piece) {
    // The start of the data in this piece that has not been yielded yet.
    let from = 0;
    let at = 0;
    while (at < piece.length) {
      if (this.#isEnding && !this.isWithinMessage) break;
      if (this.trailers) throw new CallFailure(Code.internal, `${this.whose} continues after its trailers`);
      if (this.#bytesLeft > 0) {
        const part = Math.min(this.#bytesLeft, piece.length - at);
        if (this.#trailerPieces) this.#takeTrailers(piece.subarray(at, at + part));
        this.#bytesLeft -= part;
        at += part;
        if (this.#trailerPieces) from = at;
        if (this.#bytesLeft === 0) this.#close();
        continue;
      }
      const isCut = this.#headBytes > 0;
      const headAt = at;
      at += this.#takeHead(piece, at);
      if (this.#headBytes < headBytes) {
        // The frame's head continues in the next piece. The head is held until it is complete.
        if (headAt > from) yield piece.subarray(from, headAt);
        return;
      }
      const isMessage = this.#open();
      if (isMessage && isCut) yield Buffer.from(this.#head);
      if (!isMessage && headAt > from) yield piece.subarray(from, headAt);
      if (!isMessage || isCut) from = at;
      if (this.#bytesLeft === 0) this.#close();
    }
    if (at > from) yield piece.subarray(from, at);
  }

  #takeHead(piece, at) {
    const part = Math.min(headBytes - this.#headBytes, piece.length - at);
    piece.copy(this.#head, this.#headBytes, at, at + part);
    this.#headBytes += part;
    return part;
  }

  /** Returns whether the frame is a message. */
  #open() {
    const [flags, length] = [this.#head[0], this.#head.readUInt32BE(1)];
    this.#headBytes = 0;
    this.#bytesLeft = length;
    if (flags === messageFlags) {
      this.#mustFit('a message', length, 'messageBytesMax');
      return true;
    }
    if (flags === trailerFlags && this.hasTrailers) {
      this.#mustFit('trailers', length, 'trailerBytesMax');
      this.#trailerPieces = [];
      return false;
    }
    throw new CallFailure(Code.unimplemented, `${this.whose} has a frame with the flags ${flags}: only uncompressed messages are supported`);
  }

  #mustFit(what, length, limit) {
    if (length <= this.limits[limit]) return;
    throw new CallFailure(Code.resourceExhausted, `${this.whose} has ${what} of ${length} bytes: ${limit} is ${this.limits[limit]}`);
  }

  #takeTrailers(part) {
    // A copy, because a slice would keep the whole piece in memory.
    this.#trailerPieces.push(Buffer.from(part));
  }

  #close() {
    if (!this.#trailerPieces) return;
    this.trailers = Buffer.concat(this.#trailerPieces);
    this.#trailerPieces = null;
  }
}
