// Limits the number of concurrent statements of an SQL module. Further statements wait in a queue.
// Two programs use this class: the SQL Worker of a deployment (sql/worker.js), and the SQL process
// of `npm start` (sql/process).

/** The maximum number of concurrent statements, which share the module's memory. */
const runningMax = 2;
/** The maximum time that a statement waits, and the time between two checks, in milliseconds. */
const waitMsMax = 10_000;
const pollMs = 20;
/** The time without a check after which a waiting statement counts as cancelled, in milliseconds. */
const goneMs = 1_000;
/**
 * The time without a message, in milliseconds, after which a running statement ends if another
 * statement waits. No messages arrive if the statement's client does not read its response.
 */
const idleMs = 8_000;

/**
 * The prefixes of error texts that the database handles (crates/engine/src/protocol/sql.rs). A
 * statement is `lost` if another statement destroyed the module's memory, so the database can
 * restart the lost statement. A `stopped` statement has exceeded a limit and would exceed it again.
 */
export const lost = 'lost: ';
export const stopped = 'stopped: ';

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * An SQL module and its memory.
 *
 * @typedef {object} Engine
 * @property {(session: number, message: Uint8Array) => any} turn resolves to `{ reply, isOver }`;
 *   throws if the module's memory was lost, together with every other running statement
 * @property {(session: number) => any} end frees a session; throws as `turn` does
 * @property {() => any} settle is called when no statement runs
 */

/** The sessions of a module. */
export class Sessions {
  #lastNumber = 0;
  /** @type {Set<Session>} */
  #running = new Set();
  /** @type {{ seenMs: number }[]} */
  #waiting = [];

  /** @param {Engine} engine */
  constructor(engine) {
    this.engine = engine;
  }

  /** Returns a session. The first message of the session waits until another statement may run. */
  open() {
    this.#lastNumber += 1;
    return new Session(this, this.#lastNumber);
  }

  /** Sends a message of `session` to the module. */
  async turn(session, message) {
    if (!this.#running.has(session) && !session.isLost) {
      await this.#room();
      this.#running.add(session);
    }
    if (session.isLost) {
      // The next message starts the statement again.
      session.isLost = false;
      throw new Error(`${lost}another statement exhausted the memory`);
    }
    session.seenMs = Date.now();
    const { reply, isOver } = await this.#enter(session, () => this.engine.turn(session.number, message));
    session.seenMs = Date.now();
    if (isOver) await this.end(session);
    return reply;
  }

  /** Ends a session. */
  async end(session) {
    if (!this.#running.delete(session)) return;
    await this.#enter(session, () => this.engine.end(session.number));
    if (this.#running.size === 0) await this.engine.settle();
  }

  /**
   * Calls the engine for `session`. If the call fails, the module has a new memory, and all other
   * running statements are lost.
   */
  async #enter(session, call) {
    try {
      return await call();
    } catch (error) {
      this.#running.delete(session);
      session.isLost = false;
      // If the call of another statement fails first, it marks this statement as lost.
      if (error.message.startsWith(lost)) throw error;
      for (const other of this.#running) other.isLost = true;
      this.#running = new Set();
      throw error;
    }
  }

  /** Returns whether another statement may run. Ends statements whose clients do not read the result. */
  #hasRoom() {
    const now = Date.now();
    for (const session of this.#running) {
      if (this.#running.size < runningMax) break;
      if (now - session.seenMs < idleMs) continue;
      session.isLost = true;
      // If ending fails, `#enter` has already marked the other statements as lost.
      this.end(session).catch(() => {});
    }
    return this.#running.size < runningMax;
  }

  /** Waits until another statement may run. Polls, because a cancelled request cannot wake the next one. */
  async #room() {
    const own = { seenMs: Date.now() };
    const endMs = own.seenMs + waitMsMax;
    this.#waiting.push(own);
    try {
      for (;;) {
        own.seenMs = Date.now();
        this.#waiting = this.#waiting.filter((one) => own.seenMs - one.seenMs < goneMs);
        if (this.#waiting[0] === own && this.#hasRoom()) return;
        if (own.seenMs > endMs) throw new Error('too many statements are running; retry later');
        await pause(pollMs);
      }
    } finally {
      this.#waiting = this.#waiting.filter((one) => one !== own);
    }
  }
}

/** The session of a statement. */
export class Session {
  seenMs = Date.now();
  /** Whether the statement was lost. */
  isLost = false;

  constructor(sessions, number) {
    this.sessions = sessions;
    this.number = number;
  }

  /** Resolves to the reply to a message. */
  turn(message) {
    return this.sessions.turn(this, message);
  }

  /** Ends the statement. */
  end() {
    return this.sessions.end(this);
  }
}
