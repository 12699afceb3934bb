// The database's own thread, of one page or shared by all tabs: takes requests one by one, lets time
// pass, and stores what changed before it answers, so that what was acknowledged survives a reload.

import load, { __wbg_reset_state, Tidemark, validate } from '#engine';
import { Failure, isStored, Kept } from './kept.js';
import { Sql } from './sql.js';

/** Alarms that are overdue come at least this far apart, so that requests get their turn. */
const alarmPauseMs = 20;
/** Timers cannot wait longer than 24 days, and a machine that slept should look soon. */
const alarmWaitMsMax = 60_000;
/** What was due while there was no page waits until the page has asked its first questions. */
const wakeAfterMs = 500;

/** @type {Tidemark | undefined} */
let database;
/** @type {Kept | undefined} */
let kept;
/** Whatever becomes of the database. @type {Sql | undefined} */
let sql;
/** What has come of it while it is loaded; null otherwise. @type {number | null} */
let sqlBytes = null;
/** One load for all who ask. @type {Promise<void> | undefined} */
let sqlComes;
let timer;
/** Whoever asks: the page whose worker this is, or a port of each tab that shares it. */
const clients = new Set();
/** What the clients were told last. */
let told = '';
/** What opens and closes the stored rows comes one after the other, whichever tab asks for it. */
let lastTurn = Promise.resolve();

const nowNs = () => BigInt(Date.now()) * 1_000_000n;

function fresh() {
  const [seed, secret] = crypto.getRandomValues(new BigUint64Array(2));
  const made = new Tidemark(seed, secret);
  if (sql) made.set_sql(sql.turn);
  return made;
}

/** Why what changed is not stored, as the page knows it; null when it is. */
let unstored = null;

/** What changed since this was asked last, and has to be stored. */
const changed = () => (kept ? database.changes() : []);

/** Stores what changed; resolves once everything before is stored, too. */
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
    // What cannot be stored now is tried again; the next write says so if it still cannot be.
    store().catch(() => {});
    armAlarm();
  } catch (error) {
    breakOff(error);
  }
}

/** What the page says of the database. */
const state = () => ({
  isKept: kept !== undefined,
  unstored,
  isEmpty: database?.is_empty() ?? true,
  tabs: clients.size,
  sql: { isReady: sql !== undefined, bytes: sqlBytes },
});

/** Tells every client of another state. */
function tell() {
  const now = state();
  const text = JSON.stringify(now);
  if (text !== told) clients.forEach((client) => client.postMessage({ state: now }));
  told = text;
}

/** Begins anew after the engine broke off: what was stored is read again at the next start. */
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

async function beginKeeping() {
  const opening = await Kept.open();
  try {
    database.keep_anew();
    await opening.replace(database.changes());
    kept = opening;
    // What was written meanwhile.
    await opening.write(changed());
  } catch (error) {
    kept = undefined;
    opening.close();
    throw error;
  }
}

/**
 * Takes away what is stored, then does `work()`. If it cannot be taken away, everything is as it
 * was, and stored anew with the next change.
 */
async function emptied(work) {
  const emptying = kept;
  // What changes meanwhile belongs to what goes.
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

/** Turns the engine's refusal of stored rows into one that the page knows. */
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

/** Goes on with the database that runs, or with what is stored, or with an empty one. */
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

/** Stores what there is from now on, or deletes what is stored. */
async function keep(persist) {
  if (persist === (kept !== undefined)) return;
  if (persist) await beginKeeping();
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
    // It may have broken off meanwhile: the next one takes it.
    database?.set_sql(sql.turn);
  } finally {
    sqlBytes = null;
    sqlComes = undefined;
    tell();
  }
}

const otherRuns =
  'Another tab has a database open that is not kept, while another one is stored: close that tab.';

const handlers = {
  async start({ tab, wasm, persist }, client) {
    await inTurn(() => begin({ wasm, persist }));
    clients.add(client);
    // Its tab holds this lock for as long as it is there.
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
      // Nothing of a question is missing, whatever was not stored before it.
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

/** The answer to a request that took effect here but could not be stored. */
function notStored({ message }) {
  const why = `${message.replace(/\.$/, '')}; what is not stored is gone when this page is closed`;
  // In the words of v1 and of v2.
  const reply = { error: why, code: 'unavailable', message: why };
  const body = new TextEncoder().encode(`${JSON.stringify(reply)}\n`);
  return [503, ['Content-Type', 'application/json', 'X-Influxdb-Error', why], body];
}

function described(error) {
  if (error instanceof Failure) return { code: error.code, message: error.message };
  if (error instanceof WebAssembly.RuntimeError) {
    const message = `The in-browser database broke off (${error.message}).`;
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
