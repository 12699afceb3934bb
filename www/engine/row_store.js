// Stores the database in the browser. Each row in IndexedDB has a text key and bytes. The engine
// encodes and checks the bytes. Only one worker at a time can open the rows, but tabs may share
// that worker.

const databaseName = 'tidemark';
const storeName = 'rows';
const lockName = 'tidemark-rows';

/**
 * The maximum time to wait for the lock, in milliseconds. In a shared worker, the lock almost always
 * belongs to a page that is closed already. A busy machine needs longer to release it.
 */
const lockWaitMs = typeof SharedWorkerGlobalScope === 'undefined' ? 1500 : 8000;

/** The number of rows that one read returns. */
const pageRows = 64;

/** An error that can be sent to the page. */
export class Failure extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

const refused = (doing, error) =>
  new Failure('storage', `The browser's storage could not be ${doing}: ${error?.message ?? 'no reason given'}`);

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
 * Resolves to the function that releases the lock. Browsers support locks only in secure contexts.
 * Without locks, two tabs could write: the tab that writes last overwrites the rows, and the engine
 * detects the conflict.
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

/** Deletes the rows even if they are unreadable. */
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
    /** Changes remain pending after a failure. */
    this.pending = new Map();
    /** Whether the next write first deletes all stored rows. */
    this.anew = false;
    this.last = Promise.resolve();
  }

  close() {
    this.database.close();
    this.release();
  }

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
   * `[key, bytes | undefined, …]` is stored atomically. Resolves when all earlier changes are also
   * stored. If storing fails, the next call stores the changes again.
   */
  write(changes) {
    this.hold(changes);
    // Writes run one after another, so that no write overtakes a failed write.
    this.last = this.last.catch(() => {}).then(() => this.flush());
    return this.last;
  }

  hold(changes) {
    for (let at = 0; at < changes.length; at += 2) this.pending.set(changes[at], changes[at + 1]);
  }

  /** Deletes all stored rows before storing the changes. */
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
    // A row that has changed during the write remains pending.
    for (const [key, value] of rows) {
      if (this.pending.get(key) === value) this.pending.delete(key);
    }
  }

  /** Resolves when the transaction is complete. */
  committed(work) {
    return new Promise((resolve, reject) => {
      const fail = (error) => reject(refused('written', error));
      let transaction;
      try {
        // This call throws if the user has deleted the data of the site.
        transaction = this.database.transaction(storeName, 'readwrite');
        transaction.oncomplete = resolve;
        transaction.onabort = () => fail(transaction.error);
        work(transaction.objectStore(storeName));
      } catch (error) {
        fail(error);
        // Undoes the partial changes.
        transaction?.abort();
      }
    });
  }
}
