// Runs the whole database in this browser, with the same API as the server. The database runs in a
// worker of this page, or in a worker that all tabs share.

import { sqlAsset } from './sql_asset.js';

/** The values of `code` in an [EngineError]. */
export const codes = {
  /** Another tab has opened the stored database, and this tab cannot share it. */
  inUse: 'in-use',
  /** The stored data is damaged or has a different version. It can be deleted. */
  unreadable: 'unreadable',
  /** The browser failed to store or read. */
  storage: 'storage',
  /** The engine could not be loaded. */
  load: 'load',
  /** The engine crashed. The next call restarts it with the stored data. */
  crashed: 'crashed',
};

/** The engine crashed or did not start. `code` is a value of [codes]. */
export class EngineError extends Error {
  constructor({ code, message }) {
    super(message);
    this.name = 'EngineError';
    this.code = code;
  }
}

const beside = (name) => new URL(name, import.meta.url).href;

/** Change this name whenever the messages change, so that only compatible tabs share a worker. */
const sharedName = 'tidemark 2';

const hasSharing = typeof SharedWorker !== 'undefined';

const unbuilt = 'This page was built without SQL: run `npm run sql`, which also rebuilds the page.';

/** Responses with these statuses have no body. */
const bodiless = [101, 204, 205, 304];

/** A connection to a dedicated worker or to the shared worker, with the pending calls. */
class Channel {
  constructor(isShared, changed) {
    this.calls = new Map();
    this.last = 0;
    this.changed = changed;
    const script = beside('worker.js');
    const made = isShared
      ? new SharedWorker(script, { type: 'module', name: sharedName })
      : new Worker(script, { type: 'module', name: 'tidemark' });
    this.worker = made;
    this.port = 'port' in made ? made.port : made;
    this.port.onmessage = ({ data }) => this.take(data);
    this.worker.onerror = (event) => {
      event.preventDefault();
      const message = `The in-browser database could not be loaded: ${event.message ?? 'the script is missing'}`;
      this.end({ code: codes.load, message });
    };
  }

  /**
   * The browser releases the tab's lock when the tab closes or crashes. The shared worker waits for
   * this lock to detect that the tab is gone.
   */
  async start(given) {
    const isSeen = this.port !== this.worker && navigator.locks;
    const tab = isSeen ? crypto.randomUUID() : null;
    if (isSeen) {
      await new Promise((held, failed) => {
        const hold = () => new Promise((/** @type {(value?: unknown) => void} */ release) => held((this.leave = release)));
        navigator.locks.request(tab, hold).catch(failed);
      });
    }
    this.changed(await this.ask('start', { wasm: beside('tidemark_bg.wasm'), tab, ...given }));
  }

  ask(what, given, transfer = []) {
    if (this.ended) return Promise.reject(new EngineError(this.ended));
    this.last += 1;
    const id = this.last;
    return new Promise((resolve, reject) => {
      this.calls.set(id, { resolve, reject });
      this.port.postMessage({ id, what, given }, transfer);
    });
  }

  take({ id, value, error, state }) {
    if (state) return this.changed(state);
    const call = this.calls.get(id);
    this.calls.delete(id);
    if (error === undefined) call?.resolve(value);
    else call?.reject(new EngineError(error));
    if (error?.code === codes.crashed) this.end(error);
  }

  end(error) {
    this.ended = error;
    if ('terminate' in this.port) this.port.terminate();
    else this.port.close();
    this.leave?.();
    for (const { reject } of this.calls.values()) reject(new EngineError(error));
    this.calls.clear();
  }
}

/**
 * Starts the database. With `persist`, the database loads the data that this browser has stored,
 * and stores all changes. Without `persist`, the database is empty, and its data is lost when the
 * page closes.
 *
 * With `shared`, all tabs of the site use the same database, as long as at least one of these tabs
 * is open. The default of `shared` is the value of `persist`. If the browser does not support
 * shared workers, `shared` has no effect, and `engine.isShared` is false.
 *
 * Calls `changed(state)` after each change of `engine.state`. Rejects with an [EngineError].
 */
export async function startEngine({ persist = false, shared = persist, changed = () => {} } = {}) {
  const engine = new Engine(persist, shared && hasSharing, changed);
  await engine.channel();
  return engine;
}

class Engine {
  /**
   * `unstored` is the reason why changes could not be stored, or null. `tabs` is the number of tabs
   * with this engine. `sql.bytes` is the number of bytes loaded so far, or null if SQL is not
   * loading.
   */
  state = { isKept: false, unstored: null, isEmpty: true, tabs: 1, sql: { isReady: false, bytes: null } };

  constructor(persist, isShared, changed) {
    this.persist = persist;
    this.isShared = isShared;
    this.changed = changed;
  }

  /** After a crash, starts a new worker. */
  channel() {
    if (this.started === undefined) {
      const channel = new Channel(this.isShared, (state) => this.take(state));
      this.started = channel.start({ persist: this.persist }).then(
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

  take(state) {
    this.state = state;
    this.persist = state.isKept;
    this.changed(state);
  }

  async ask(what, given, transfer) {
    let channel = await this.channel();
    if (channel.ended) {
      // If the worker crashed during a call of another tab, this call uses a new worker.
      this.started = undefined;
      channel = await this.channel();
    }
    try {
      return await channel.ask(what, given, transfer);
    } catch (error) {
      if (channel.ended) this.started = undefined;
      throw error;
    }
  }

  /**
   * Sends a request like `window.fetch` to a path of the API. The host may be any name. A request
   * without `Authorization` has every permission.
   */
  async fetch(input, init) {
    const isRequest = input instanceof Request;
    const request = new Request(isRequest ? input : new URL(input, 'http://in-browser.invalid'), init);
    const url = new URL(request.url);
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
   * Parses line protocol in the same way as a write. `precision` is the precision of the write; the
   * default is nanoseconds. Returns `{ good, bad, errors: [{ line, column, reason }], mistaken }`.
   * `errors` contains the first 100 errors. `mistaken` is null, or `{ unit, lines }` if the
   * timestamps of this number of lines look like a different unit.
   */
  async validate(text, precision = '') {
    return this.ask('validate', { text, precision });
  }

  /**
   * Turns storage in the browser on or off. With `persist`, the database's data replaces the stored
   * data. Without `persist`, the stored data is deleted.
   */
  async keep(persist) {
    await this.ask('keep', { persist });
  }

  async store() {
    await this.ask('store', {});
  }

  /** If the call rejects, the database and the stored data are unchanged. */
  async forget() {
    await this.ask('forget', {});
  }

  /**
   * Loads SQL for all users of this database. Until then, `/api/v3/query_sql` returns status 501.
   * Other pages load SQL from the browser's cache. Rejects if the page was built without SQL.
   */
  async loadSql() {
    if (!sqlAsset) throw new EngineError({ code: codes.load, message: unbuilt });
    await this.ask('loadSql', { url: beside(`../chunks/${sqlAsset.name}`) });
  }

  /** The worker ends when its last page has disconnected. The stored data remains. */
  async close() {
    const channel = await this.started?.catch(() => undefined);
    channel?.end({ code: codes.load, message: 'The in-browser database was closed.' });
  }
}

/** Returns the result of `work`. Rejects with the signal's reason when the signal aborts. */
function abortable(signal, work) {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    work.then(resolve, reject);
  });
}

export { isStored, forgetStored } from './row_store.js';
