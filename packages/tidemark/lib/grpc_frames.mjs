// The frames of gRPC and of gRPC-Web: a byte of flags, four of length, and the payload. Messages pass as they come, and
// none is kept.

import { CallFailure, Code } from './grpc_status.mjs';

const headBytes = 5;
const messageFlags = 0x00;
const trailerFlags = 0x80;

/**
 * Reads frames out of pieces of any size. `whose` names them in errors. `hasTrailers` says whether the last frame is
 * that of gRPC-Web's trailers. `messageBytesMax` and `trailerBytesMax` bound a frame of each kind.
 */
export class Frames {
  #head = Buffer.alloc(headBytes);
  #headBytes = 0;
  /** Of the frame that is open. */
  #bytesLeft = 0;
  /** @type {Buffer[] | null} */
  #trailerPieces = null;
  /** Whether what follows the open message is left out. */
  #isEnding = false;
  /** The payload of the trailer frame, once it is there whole. @type {Buffer | null} */
  trailers = null;

  constructor({ whose, hasTrailers, messageBytesMax, trailerBytesMax }) {
    this.whose = whose;
    this.hasTrailers = hasTrailers;
    this.limits = { messageBytesMax, trailerBytesMax };
  }

  /** Whether no frame is open: where frames may end. */
  get isBetween() {
    return this.#headBytes === 0 && this.#bytesLeft === 0;
  }

  /** Whether a part of a message was given, and not all of it: trailers here would make a broken answer of it. */
  get isWithinMessage() {
    return this.#bytesLeft > 0 && !this.#trailerPieces;
  }

  /** Nothing more is given than the rest of the message that is open, if there is one. */
  endWithMessage() {
    this.#isEnding = true;
  }

  /** The parts of `piece` that belong to messages, in order. Throws [CallFailure]. */
  *take(piece) {
    // What of this piece passes and was not given yet begins here.
    let from = 0;
    let at = 0;
    while (at < piece.length) {
      if (this.#isEnding && !this.isWithinMessage) break;
      if (this.trailers) throw new CallFailure(Code.internal, `${this.whose} goes on after its trailers`);
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
        // The head goes on in the next piece: nothing passes before all of it was seen.
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

  /** Begins the frame whose head is there: whether it is a message. */
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
    throw new CallFailure(Code.unimplemented, `${this.whose} has a frame with the flags ${flags}: only messages without compression pass`);
  }

  #mustFit(what, length, limit) {
    if (length <= this.limits[limit]) return;
    throw new CallFailure(Code.resourceExhausted, `${this.whose} has ${what} of ${length} bytes: ${limit} is ${this.limits[limit]}`);
  }

  #takeTrailers(part) {
    // A copy: the piece that it is of would stay as long.
    this.#trailerPieces.push(Buffer.from(part));
  }

  #close() {
    if (!this.#trailerPieces) return;
    this.trailers = Buffer.concat(this.#trailerPieces);
    this.#trailerPieces = null;
  }
}
