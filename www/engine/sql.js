// Runs SQL in the database's thread. The module is the same as in the SQL Worker, and is loaded on
// demand. The module processes messages and has no other access
// (crates/engine/src/protocol/sql.rs).

import { Failure } from './row_store.js';

/** WebAssembly memory never shrinks, so a module with more memory is replaced after a statement. */
const idleBytesMax = 64 * 1024 * 1024;
/** Statements run one at a time, in the same session. */
const session = 1;
/** The number of bytes between two progress reports. */
const toldBytes = 256 * 1024;

const cure = 'Try again, or reload the page. If SQL is not built, run `npm run sql`';

const failed = (why) => new Failure('load', `SQL could not be loaded: ${why}. ${cure}.`);

/** After a failed load, the next attempt bypasses the browser's cache. */
let isDoubted = false;

/**
 * Decompresses the module. The browser has already decompressed it if the host sent a
 * Content-Encoding header.
 */
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

export class Sql {
  /**
   * `told(bytes)` receives the number of bytes that are loaded so far. Rejects with a [Failure].
   */
  static async load(url, told) {
    try {
      const [module, response] = await Promise.all([
        import('#sql'),
        fetch(url, { cache: isDoubted ? 'reload' : 'force-cache' }),
      ]);
      if (!response.ok) throw new Error(`${new URL(url).pathname} returned ${response.status}`);
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

  /** The module reports errors in its replies, so an exception always means a trap. */
  turn = (message) => {
    try {
      return this.module.turn(session, message);
    } catch (error) {
      this.isSpent = true;
      throw new Error('a query exhausted its stack or its memory', { cause: error });
    }
  };

  /** Replaces the module after a trap, or if its memory is too large. */
  settle() {
    try {
      if (!this.isSpent) this.module.end(session);
      this.isSpent ||= this.module.memory_bytes() > idleBytesMax;
    } catch {
      this.isSpent = true;
    }
    if (this.isSpent) this.module.__wbg_reset_state();
    this.isSpent = false;
  }
}
