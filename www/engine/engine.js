// The whole database in this browser: the same API as the server's, in a web worker of its own.

/** Names of failures, in the `code` of an [EngineError]. */
export const codes = {
  /** Another tab has the stored database open. */
  inUse: 'in-use',
  /** What is stored is damaged, or of another version: it can be forgotten. */
  unreadable: 'unreadable',
  /** The browser refused to store, or to read. */
  storage: 'storage',
  /** The engine could not be loaded. */
  load: 'load',
  /** The engine broke off; the next call starts it again from what is stored. */
  crashed: 'crashed',
};

/** Why the engine did not start, or broke off; `code` is one of [codes]. */
export class EngineError extends Error {
  constructor({ code, message }) {
    super(message);
    this.name = 'EngineError';
    this.code = code;
  }
}

/** Where the page is: scripts may lie in chunks elsewhere. */
const beside = (name) => new URL(`engine/${name}`, document.baseURI).href;

/** Statuses that have no body. */
const bodiless = [101, 204, 205, 304];

/** One worker, and the calls that it has not answered. */
class Channel {
  constructor(unstored) {
    this.unstored = unstored;
    this.calls = new Map();
    this.last = 0;
    this.worker = new Worker(beside('worker.js'), { type: 'module', name: 'tidemark' });
    this.worker.onmessage = ({ data }) => this.take(data);
    this.worker.onerror = (event) => {
      event.preventDefault();
      const message = `The in-browser database could not be loaded: ${event.message ?? 'no script'}`;
      this.end({ code: codes.load, message });
    };
  }

  ask(what, given, transfer = []) {
    if (this.ended) return Promise.reject(new EngineError(this.ended));
    this.last += 1;
    const id = this.last;
    return new Promise((resolve, reject) => {
      this.calls.set(id, { resolve, reject });
      this.worker.postMessage({ id, what, given }, transfer);
    });
  }

  take({ id, value, error, unstored }) {
    if (unstored !== undefined) return this.unstored(unstored);
    const call = this.calls.get(id);
    this.calls.delete(id);
    if (error === undefined) call?.resolve(value);
    else call?.reject(new EngineError(error));
    if (error?.code === codes.crashed) this.end(error);
  }

  end(error) {
    this.ended = error;
    this.worker.terminate();
    for (const { reject } of this.calls.values()) reject(new EngineError(error));
    this.calls.clear();
  }
}

/**
 * Starts the database. With `persist` it goes on from what is stored in this browser and stores
 * whatever changes; without, it is empty and gone with the page. `unstored(message)` is called when
 * something cannot be stored, and with null when all is. Rejects with an [EngineError].
 */
export async function startEngine({ persist = false, unstored = () => {} } = {}) {
  const engine = new Engine(persist, unstored);
  await engine.channel();
  return engine;
}

class Engine {
  constructor(persist, unstored) {
    this.persist = persist;
    this.unstored = unstored;
  }

  /** The worker; a new one after it broke off. */
  channel() {
    if (this.started === undefined) {
      const channel = new Channel(this.unstored);
      const given = { wasm: beside('tidemark_bg.wasm'), persist: this.persist };
      this.started = channel.ask('start', given).then(
        () => channel,
        (error) => {
          channel.end({ code: error.code, message: error.message });
          this.started = undefined;
          throw error;
        },
      );
    }
    return this.started;
  }

  async ask(what, given, transfer) {
    const channel = await this.channel();
    try {
      return await channel.ask(what, given, transfer);
    } catch (error) {
      if (channel.ended) this.started = undefined;
      throw error;
    }
  }

  /**
   * As `window.fetch`, for the paths of the API; a request without `Authorization` may everything.
   */
  async fetch(path, init = {}) {
    const url = new URL(path, 'http://in-browser.invalid');
    const request = new Request(url, init);
    const { signal } = request;
    signal.throwIfAborted();
    const body = new Uint8Array(await request.arrayBuffer());
    const given = {
      method: request.method,
      path: url.pathname,
      query: url.search.slice(1),
      headers: [...request.headers, ['content-length', String(body.length)]].flat(),
      body,
    };
    const [status, headers, bytes] = await abortable(
      signal,
      this.ask('fetch', given, [body.buffer]),
    );
    const pairs = [];
    for (let at = 0; at < headers.length; at += 2) pairs.push([headers[at], headers[at + 1]]);
    return new Response(bodiless.includes(status) ? null : bytes, { status, headers: pairs });
  }

  /**
   * Reads line protocol as a write would. `precision` is that of a write; empty is nanoseconds.
   * Returns `{ good, bad, errors: [{ line, column, reason }] }`, the first 100 errors.
   */
  async validate(text, precision = '') {
    return this.ask('validate', { text, precision });
  }

  /**
   * From now on stores what there is and whatever changes, in the place of what was stored before;
   * or deletes what is stored, and stores nothing any more.
   */
  async keep(persist) {
    await this.ask('keep', { persist });
    this.persist = persist;
  }

  /** Stores what could not be stored before. Rejects if it still cannot be. */
  async store() {
    await this.ask('store', {});
  }

  /** Empties the database, and what is stored of it; or rejects, and nothing is different. */
  async forget() {
    await this.ask('forget', {});
  }

  /** Ends the worker; what is stored stays. */
  async close() {
    const channel = await this.started?.catch(() => undefined);
    channel?.end({ code: codes.load, message: 'The in-browser database was closed.' });
  }
}

/** What `work` becomes, or the signal's reason as soon as it is aborted. */
function abortable(signal, work) {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    work.then(resolve, reject);
  });
}

/** Whether this browser has a database stored. */
export { isStored, forgetStored } from './kept.js';
