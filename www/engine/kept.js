// What the browser keeps of the database: rows in IndexedDB, each a text key and bytes that the
// engine made and checks. Only one worker at a time has them open, which tabs may share.

const databaseName = 'tidemark';
const storeName = 'rows';
const lockName = 'tidemark-rows';

/**
 * A page that was closed a moment ago may still have them open: as good as surely it is one if tabs
 * share them, and it takes its time where much else runs.
 */
const lockWaitMs = typeof SharedWorkerGlobalScope === 'undefined' ? 1500 : 8000;

/** Rows that are read at once. */
const pageRows = 64;

/** A failure as it crosses to the page: `{ code, message }`. */
export class Failure extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

const refused = (doing, error) =>
  new Failure('storage', `The browser's storage could not be ${doing}: ${error?.message ?? 'no reason given'}`);

/** The result of an IndexedDB request. */
function result(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function opened() {
  const request = indexedDB.open(databaseName, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(storeName);
  try {
    return await result(request);
  } catch (error) {
    throw refused('opened', error);
  }
}

/**
 * Takes the lock that keeps other tabs out, and returns what gives it back. Browsers have locks in
 * secure contexts only; elsewhere the last tab to write wins, and the engine notices.
 */
function locked() {
  if (!navigator.locks) return Promise.resolve(() => {});
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(lockWaitMs);
    const hold = () => new Promise((release) => resolve(release));
    navigator.locks.request(lockName, { signal }, hold).catch((error) => {
      const message = 'The stored database is open in another tab: close it there.';
      reject(error.name === 'TimeoutError' ? new Failure('in-use', message) : error);
    });
  });
}

/** Whether there is anything stored. */
export async function isStored() {
  const names = (await indexedDB.databases?.()) ?? [];
  if (indexedDB.databases && !names.some(({ name }) => name === databaseName)) return false;
  const database = await opened();
  try {
    return (await result(database.transaction(storeName).objectStore(storeName).count())) > 0;
  } finally {
    database.close();
  }
}

/** Deletes what is stored, readable or not. */
export async function forgetStored() {
  const release = await locked();
  try {
    const request = indexedDB.deleteDatabase(databaseName);
    await result(request);
  } catch (error) {
    throw refused('emptied', error);
  } finally {
    release();
  }
}

/** The stored rows, while this page has them open. */
export class Kept {
  static async open() {
    const release = await locked();
    try {
      return new Kept(await opened(), release);
    } catch (error) {
      release();
      throw error;
    }
  }

  constructor(database, release) {
    this.database = database;
    this.release = release;
    /** What is not stored yet; more than nothing after a failure. */
    this.pending = new Map();
    /** Whether all that is stored goes first. */
    this.anew = false;
    this.last = Promise.resolve();
  }

  close() {
    this.database.close();
    this.release();
  }

  /** Hands every row to `take(key, bytes)`. */
  async read(take) {
    let range = null;
    for (;;) {
      const store = this.database.transaction(storeName).objectStore(storeName);
      const [keys, values] = await Promise.all([
        result(store.getAllKeys(range, pageRows)),
        result(store.getAll(range, pageRows)),
      ]).catch((error) => {
        throw refused('read', error);
      });
      keys.forEach((key, at) => take(key, values[at]));
      if (keys.length < pageRows) return;
      range = IDBKeyRange.lowerBound(keys.at(-1), true);
    }
  }

  /**
   * Stores changes, `[key, bytes | undefined, …]`, all or none. Resolves once they and all before
   * them are stored; what could not be stored is tried again with the next ones.
   */
  write(changes) {
    this.hold(changes);
    // One after the other, so that what failed is not overtaken.
    this.last = this.last.catch(() => {}).then(() => this.flush());
    return this.last;
  }

  /** Stores changes with the next ones. */
  hold(changes) {
    for (let at = 0; at < changes.length; at += 2) this.pending.set(changes[at], changes[at + 1]);
  }

  /** As [write], in the place of all that is stored. */
  replace(changes) {
    this.anew = true;
    this.pending.clear();
    return this.write(changes);
  }

  async flush() {
    const { anew } = this;
    const rows = [...this.pending];
    if (rows.length === 0 && !anew) return;
    await this.committed((store) => {
      if (anew) store.clear();
      for (const [key, value] of rows) {
        if (value === undefined) store.delete(key);
        else store.put(value, key);
      }
    });
    if (anew) this.anew = false;
    // A row that changed meanwhile stays.
    for (const [key, value] of rows) {
      if (this.pending.get(key) === value) this.pending.delete(key);
    }
  }

  /** Does `work(store)` in one transaction; resolves once that is stored. */
  committed(work) {
    return new Promise((resolve, reject) => {
      const fail = (error) => reject(refused('written', error));
      let transaction;
      try {
        // Throws once the visitor has cleared what sites store.
        transaction = this.database.transaction(storeName, 'readwrite');
        transaction.oncomplete = resolve;
        transaction.onabort = () => fail(transaction.error);
        work(transaction.objectStore(storeName));
      } catch (error) {
        fail(error);
        // What was done of it by then must not stay.
        transaction?.abort();
      }
    });
  }
}
