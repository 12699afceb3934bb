// The whole database in this browser: the same API as the server's, in a web worker of this page, or
// in one that all tabs share.

import { sqlAsset } from './sql_asset.js';

/** Names of failures, in the `code` of an [EngineError]. */
export const codes = {
  /** Another tab has the stored database open, and cannot share it. */
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

/** A file beside this one, wherever the page is. */
const beside = (name) => new URL(name, import.meta.url).href;

/** Tabs share a worker if they speak alike: changes with what is said between page and worker. */
const sharedName = 'tidemark 2';

const hasSharing = typeof SharedWorker !== 'undefined';

const unbuilt = 'This page was built without SQL: `npm run sql` builds it, and the page with it.';

/** Statuses that have no body. */
const bodiless = [101, 204, 205, 304];

/** A worker of this page, or a port to the one of all tabs, and the calls that are not answered. */
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
      const message = `The in-browser database could not be loaded: ${event.message ?? 'no script'}`;
      this.end({ code: codes.load, message });
    };
  }

  /**
   * Starts the database there, or joins it. Other tabs know of this one by a lock that it holds:
   * the browser takes it away with the tab, however that ends.
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
 * Starts the database. With `persist` it goes on from what is stored in this browser and stores
 * whatever changes; without, it is empty and gone with the page. All tabs of the site that start it
 * with `shared` have the same one, kept or not, for as long as one of them is open: so it is with
 * `persist` unless told otherwise, and never where the browser cannot (`engine.isShared`).
 * `changed(state)` is called with each other `engine.state`. Rejects with an [EngineError].
 */
export async function startEngine({ persist = false, shared = persist, changed = () => {} } = {}) {
  const engine = new Engine(persist, shared && hasSharing, changed);
  await engine.channel();
  return engine;
}

class Engine {
  /**
   * Whether it is kept, why something of it is not stored (or null), whether no database was made
   * in it yet, how many tabs have it, and whether it has SQL, or how many bytes of that have come
   * while it is loaded (or null).
   */
  state = { isKept: false, unstored: null, isEmpty: true, tabs: 1, sql: { isReady: false, bytes: null } };

  constructor(persist, isShared, changed) {
    this.persist = persist;
    this.isShared = isShared;
    this.changed = changed;
  }

  /** The worker; a new one after it broke off. */
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

  /** Another tab may have changed whether it is kept. */
  take(state) {
    this.state = state;
    this.persist = state.isKept;
    this.changed(state);
  }

  async ask(what, given, transfer) {
    let channel = await this.channel();
    if (channel.ended) {
      // It broke off while another tab asked: what this one asks is the next call.
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
   * As `window.fetch`, for the paths of the API, whatever host an address names; a request without
   * `Authorization` may everything.
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
   * Reads line protocol as a write would. `precision` is that of a write; empty is nanoseconds.
   * Returns `{ good, bad, errors: [{ line, column, reason }], mistaken }`, the first 100 errors;
   * `mistaken` is null or `{ unit, lines }`: so many times look like counts of another unit.
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
  }

  /** Stores what could not be stored before. Rejects if it still cannot be. */
  async store() {
    await this.ask('store', {});
  }

  /** Empties the database, and what is stored of it; or rejects, and nothing is different. */
  async forget() {
    await this.ask('forget', {});
  }

  /**
   * Loads SQL, for all who have this database: until then `/api/v3/query_sql` answers 501. It is not kept: the
   * next page loads it from the browser's cache. Rejects where the page was built without it.
   */
  async loadSql() {
    if (!sqlAsset) throw new EngineError({ code: codes.load, message: unbuilt });
    await this.ask('loadSql', { url: beside(`../chunks/${sqlAsset.name}`) });
  }

  /** Leaves it; its worker ends with the last page that has it. What is stored stays. */
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
