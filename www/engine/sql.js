// SQL in the database's own thread: the module that the Worker of SQL runs, fetched when somebody asks for it. It is
// handed messages, and reaches nothing by itself (src/protocol/sql.rs).

import { Failure } from './kept.js';

/** A module that holds more is given a new memory once a statement is over: it gives none back. */
const keptBytesMax = 64 * 1024 * 1024;
/** Statements come one after the other, so that one number names them all. */
const session = 1;
/** So much comes between two words about it. */
const toldBytes = 256 * 1024;

const cure = 'try again or load the page anew; if that does not help, `npm run sql` builds it';

const failed = (why) => new Failure('load', `SQL could not be loaded: ${why}; ${cure}.`);

/** Something of the last load was wrong: what the browser keeps of it is not taken again. */
let isDoubted = false;

/** The bytes of a packed module as they are. A host may say that they are packed: then the browser unpacks them. */
async function unpacked(body, told) {
  const reader = body.getReader();
  let [bytes, toldAt] = [0, 0];
  const pull = async (/** @type {ReadableStreamDefaultController} */ to) => {
    const { done, value } = await reader.read();
    if (done) {
      told(bytes);
      return to.close();
    }
    bytes += value.length;
    if (bytes - toldAt >= toldBytes) told((toldAt = bytes));
    return to.enqueue(value);
  };
  const { value: first = new Uint8Array() } = await reader.read();
  bytes = first.length;
  const start = (/** @type {ReadableStreamDefaultController} */ to) => to.enqueue(first);
  const stream = new ReadableStream({ start, pull, cancel: (why) => reader.cancel(why) });
  const isGzip = first[0] === 0x1f && first[1] === 0x8b;
  return isGzip ? stream.pipeThrough(new DecompressionStream('gzip')) : stream;
}

/** Sessions of one module. */
export class Sql {
  /**
   * Fetches the packed module at `url`, whose name is of its bytes; `told(bytes)` hears how many have come.
   * Rejects with a [Failure].
   */
  static async load(url, told) {
    try {
      const [module, response] = await Promise.all([
        import('#sql'),
        fetch(url, { cache: isDoubted ? 'reload' : 'force-cache' }),
      ]);
      if (!response.ok) throw new Error(`${new URL(url).pathname} is answered ${response.status}`);
      const body = await unpacked(response.body, told);
      const wasm = new Response(body, { headers: { 'Content-Type': 'application/wasm' } });
      await module.default({ module_or_path: wasm });
      isDoubted = false;
      return new Sql(module);
    } catch (error) {
      isDoubted = true;
      throw failed(error.message);
    }
  }

  isSpent = false;

  constructor(module) {
    this.module = module;
  }

  /** The reply to a message. What the module throws is a trap, whatever it is sent. */
  turn = (message) => {
    try {
      return this.module.turn(session, message);
    } catch (error) {
      this.isSpent = true;
      throw new Error('a query used up its stack or its memory', { cause: error });
    }
  };

  /** Nothing more is asked of the last statement: a memory that a trap or too much of it has spent goes. */
  settle() {
    try {
      if (!this.isSpent) this.module.end(session);
      this.isSpent ||= this.module.memory_bytes() > keptBytesMax;
    } catch {
      this.isSpent = true;
    }
    if (this.isSpent) this.module.__wbg_reset_state();
    this.isSpent = false;
  }
}
