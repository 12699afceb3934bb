// The thread of the database, for one page or shared by all tabs. It processes one request at a
// time and runs alarms. It stores changes before it responds, so that acknowledged writes remain
// after a reload.

import load, { __wbg_reset_state, Tidemark, validate } from '#engine';
import { Failure, isStored, Kept } from './row_store.js';
import { Sql } from './sql.js';

/** Requests can run during this pause between overdue alarms. */
const alarmPauseMs = 20;
/**
 * The maximum duration of a timer. Browsers limit timers to 24 days, and after a suspended machine
 * wakes up, overdue alarms should run soon.
 */
const alarmWaitMsMax = 60_000;
/**
 * The pause before overdue alarms run after the start, so that the page's first requests run first.
 */
const wakeAfterMs = 500;

/** @type {Tidemark | undefined} */
let database;
/** @type {Kept | undefined} */
let kept;
/**
 * The SQL module. It remains loaded when the database restarts.
 * @type {Sql | undefined}
 */
let sql;
/** @type {number | null} */
let sqlBytes = null;
/** @type {Promise<void> | undefined} */
let sqlComes;
let timer;
/**
 * The connected pages: one page for a dedicated worker, or one port for each tab of a shared
 * worker.
 */
const clients = new Set();
let told = '';
/** Tasks that open or close the stored rows, from all tabs, run one after another. */
let lastTurn = Promise.resolve();

const nowNs = () => BigInt(Date.now()) * 1_000_000n;

function fresh() {
  const [seed, secret] = crypto.getRandomValues(new BigUint64Array(2));
  const made = new Tidemark(seed, secret);
  if (sql) made.set_sql(sql.turn);
  return made;
}

/** Why changes could not be stored, or null. */
let unstored = null;

/** Returns the changes since the last call, if they must be stored. */
const changed = () => (kept ? database.changes() : []);

/** Resolves when all earlier changes are also stored. */
async function store(changes = changed()) {
  try {
    await kept?.write(changes);
    unstored = null;
  } catch (error) {
    unstored = error.message;
    throw error;
  } finally {
    tell();
  }
}

function armAlarm() {
  clearTimeout(timer);
  const dueNs = database.next_alarm_ns();
  if (dueNs === undefined) return;
  const waitMs = Number((dueNs - nowNs()) / 1_000_000n) + 1;
  const boundedMs = Math.min(Math.max(waitMs, alarmPauseMs), alarmWaitMsMax);
  timer = setTimeout(() => onTime((now) => database.pass_time(now)), boundedMs);
}

function onTime(work) {
  try {
    work(nowNs());
    // Ignores an error here: the next write tries again to store these changes, and reports an
    // error to its caller.
    store().catch(() => {});
    armAlarm();
  } catch (error) {
    breakOff(error);
  }
}

const state = () => ({
  isKept: kept !== undefined,
  unstored,
  isEmpty: database?.is_empty() ?? true,
  tabs: clients.size,
  sql: { isReady: sql !== undefined, bytes: sqlBytes },
});

function tell() {
  const now = state();
  const text = JSON.stringify(now);
  if (text !== told) clients.forEach((client) => client.postMessage({ state: now }));
  told = text;
}

/** Ends the database after a crash. At the next start, the engine reads the stored rows. */
function breakOff(error) {
  clearTimeout(timer);
  kept?.close();
  kept = undefined;
  database = undefined;
  unstored = null;
  told = '';
  __wbg_reset_state();
  clients.forEach((client) => client.postMessage({ error: described(error) }));
}

async function open() {
  kept = await Kept.open();
  try {
    database = fresh();
    await kept.read((key, bytes) => readable(() => database.restore(key, bytes)));
    readable(() => database.restored());
  } catch (error) {
    kept.close();
    kept = undefined;
    database = undefined;
    throw error;
  }
  timer = setTimeout(() => onTime((now) => database.wake(now)), wakeAfterMs);
}

async function startStoring() {
  const opening = await Kept.open();
  try {
    database.keep_anew();
    await opening.replace(database.changes());
    kept = opening;
    // Stores the changes that were made after the snapshot.
    await opening.write(changed());
  } catch (error) {
    kept = undefined;
    opening.close();
    throw error;
  }
}

/**
 * Deletes the stored rows with `work`. If the deletion fails, the next change stores the database
 * again.
 */
async function emptied(work) {
  const emptying = kept;
  // Changes during the deletion must not be stored.
  kept = undefined;
  try {
    await emptying?.replace([]);
    kept = emptying;
    work();
  } catch (error) {
    kept = emptying;
    database.keep_anew();
    kept?.hold(changed());
    throw error;
  }
}

/** Converts the engine's error about unreadable rows to a failure that the page handles. */
function readable(work) {
  try {
    return work();
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError) throw error;
    throw new Failure('unreadable', error.message);
  }
}

function inTurn(work) {
  lastTurn = lastTurn.catch(() => {}).then(work);
  return lastTurn;
}

/**
 * Starts the database. Continues a database that is already running. Otherwise loads the stored
 * database, or creates a new database.
 */
async function begin({ wasm, persist }) {
  try {
    await load({ module_or_path: wasm });
  } catch (error) {
    throw new Failure('load', `The in-browser database could not be loaded: ${error.message}`);
  }
  if (database === undefined) {
    if (persist) await open();
    else database = fresh();
  } else if (persist && kept === undefined) {
    if (await isStored()) throw new Failure('in-use', otherRuns);
    await keep(true);
  }
}

/** Turns storage on or off. Without `persist`, deletes the stored rows. */
async function keep(persist) {
  if (persist === (kept !== undefined)) return;
  if (persist) await startStoring();
  else await emptied(() => kept.close());
  if (!persist) kept = undefined;
  unstored = null;
}

async function forget() {
  clearTimeout(timer);
  await emptied(() => {
    database.free();
    database = fresh();
  }).finally(armAlarm);
  unstored = null;
}

async function loadSql(url) {
  const hasCome = (bytes) => {
    sqlBytes = bytes;
    tell();
  };
  try {
    hasCome(0);
    sql = await Sql.load(url, hasCome);
    // If the database has crashed while SQL was loading, the next database gets SQL when it starts.
    database?.set_sql(sql.turn);
  } finally {
    sqlBytes = null;
    sqlComes = undefined;
    tell();
  }
}

const otherRuns =
  'Another tab uses a database that is not stored, but this browser also has a stored database: close the other tab.';

const handlers = {
  async start({ tab, wasm, persist }, client) {
    await inTurn(() => begin({ wasm, persist }));
    clients.add(client);
    // The tab holds this lock while it is open.
    if (tab) navigator.locks.request(tab, () => (clients.delete(client), tell()));
    return state();
  },

  async fetch({ method, path, query, headers, body }) {
    const answer = database.request(method, path, query, headers, body, nowNs());
    sql?.settle();
    armAlarm();
    const changes = changed();
    try {
      await store(changes);
    } catch (error) {
      // The response to a query is complete even if earlier changes could not be stored. Only a
      // request that changed data gets an error.
      if (changes.length > 0) return notStored(error);
    }
    return answer;
  },

  validate({ text, precision }) {
    const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text;
    const [good, bad, unit, lines, ...rest] = validate(bytes, precision, nowNs());
    const errors = [];
    for (let at = 0; at < rest.length; at += 3) {
      errors.push({ line: rest[at], column: rest[at + 1], reason: rest[at + 2] });
    }
    return { good, bad, errors, mistaken: unit ? { unit, lines } : null };
  },

  keep: ({ persist }) => inTurn(() => keep(persist)),

  forget: () => inTurn(forget),

  store: () => store(),

  loadSql: ({ url }) => (sql ? undefined : (sqlComes ??= loadSql(url))),
};

/** Returns the response to a request that succeeded, but whose changes could not be stored. */
function notStored({ message }) {
  const why = `${message.replace(/\.$/, '')}. Close this page only after the data is stored: unstored data is lost.`;
  // The body contains the members of the error formats of v1 and v2.
  const reply = { error: why, code: 'unavailable', message: why };
  const body = new TextEncoder().encode(`${JSON.stringify(reply)}\n`);
  return [503, ['Content-Type', 'application/json', 'X-Influxdb-Error', why], body];
}

function described(error) {
  if (error instanceof Failure) return { code: error.code, message: error.message };
  if (error instanceof WebAssembly.RuntimeError) {
    const message = `The in-browser database stopped (${error.message}): reload the page.`;
    return { code: 'crashed', message };
  }
  return { code: 'refused', message: String(error?.message ?? error) };
}

function serve(client) {
  client.onmessage = async ({ data: { id, what, given } }) => {
    try {
      const value = await handlers[what](given, client);
      const bytes = what === 'fetch' ? [value[2].buffer] : [];
      tell();
      client.postMessage({ id, value }, bytes);
    } catch (error) {
      client.postMessage({ id, error: described(error) });
      if (error instanceof WebAssembly.RuntimeError) breakOff(error);
    }
  };
}

if (typeof SharedWorkerGlobalScope === 'undefined') serve(self);
else addEventListener('connect', (/** @type {MessageEvent} */ { ports: [port] }) => serve(port));
