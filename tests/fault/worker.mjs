// The built Worker with fault hooks. POST /test_fault sets the hooks (see `plan`) and returns the
// events since the last call. All objects of a local server run in one isolate with the Worker, so
// they share one plan.

import { WorkerEntrypoint } from 'cloudflare:workers';

import built, * as classes from '../../build/index.js';

const plan = {
  /** The kind of objects whose storage steps fail. */
  kind: 'Shard',
  /**
   * The number of the first step that fails, counted from 1. All later steps also fail. 0 disables
   * the fault.
   */
  at: 0,
  /** Whether the step takes effect before it fails: `before` or `never`. */
  effect: 'never',
  /** Whether the process hangs at the failing step, so that a test can kill the process. */
  hangs: false,
  /** The kind of objects that send no response, or an empty text if all objects respond. */
  lost: '',
  /** The maximum number of pages in an object's database, or 0 for no limit. */
  pages: 0,
  /** The number of alarms that fail before Tidemark's code runs. */
  failingAlarms: 0,
  refusesAlarms: false,
  shiftMs: 0,
  /** The offset of the clock after the next alarm, or null for no change. */
  alarmShiftMs: null,
};
/** `steps` counts steps with changes, and `alarmsBehind` counts alarms for a past time. */
const seen = { steps: 0, failed: 0, alarmsSet: 0, alarmsBehind: 0, alarms: 0 };
const loaded = { Catalog: new Set(), Database: new Set(), Shard: new Set() };

const realNow = Date.now.bind(Date);
Date.now = () => realNow() + plan.shiftMs;

/**
 * Counts a storage step and throws if it must fail. The hook cannot abort an object during a call
 * of the WebAssembly module, because all objects share the module's memory. Therefore all later
 * steps also fail, and the test aborts the object after the event.
 */
function step(kind, changes, work) {
  if (kind !== plan.kind) return work();
  if (changes) seen.steps += 1;
  if (plan.at === 0 || seen.steps < plan.at) return work();
  seen.failed += 1;
  if (seen.steps === plan.at && changes && plan.effect === 'before') work();
  while (plan.hangs);
  throw new Error('test fault');
}

/** Methods of `target` keep `target` as `this`. */
function replaced(target, members) {
  return new Proxy(target, {
    get(_, name) {
      if (name in members) return members[name];
      const value = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** Adds the hooks to the state of an object. The runtime accepts only its own object as a state. */
function addFaults(kind, ctx, behindReplies) {
  const { storage } = ctx;
  const { sql } = storage;
  const [transactionSync, deleteAll, setAlarm, waitUntil] = [
    storage.transactionSync.bind(storage), storage.deleteAll.bind(storage), storage.setAlarm.bind(storage), ctx.waitUntil.bind(ctx),
  ];
  const exec = (query, ...bindings) => {
    // An evicted object opens a new connection, and the limit belongs to a connection.
    sql.setMaxPageCountForTest(plan.kind === kind && plan.pages ? plan.pages : 2 ** 30);
    return step(kind, !/^\s*SELECT/i.test(query), () => sql.exec(query, ...bindings));
  };
  const members = {
    sql: replaced(sql, { exec }),
    transactionSync: (work) => step(kind, true, () => transactionSync(work)),
    deleteAll: (...options) => step(kind, true, () => deleteAll(...options)),
    setAlarm: (...alarm) => {
      if (kind === plan.kind) seen.alarmsSet += 1;
      if (kind === plan.kind && alarm[0] <= Date.now()) seen.alarmsBehind += 1;
      if (kind === plan.kind && plan.refusesAlarms) throw new Error('test fault: no alarm');
      return setAlarm(...alarm);
    },
  };
  for (const [name, value] of Object.entries(members)) Object.defineProperty(storage, name, { value });
  const counted = (work) => {
    behindReplies.add(work);
    waitUntil(work.finally(() => behindReplies.delete(work)));
  };
  Object.defineProperty(ctx, 'waitUntil', { value: counted });
}

const wrapped = (kind) =>
  class extends classes[kind] {
    #behindReplies;

    constructor(ctx, env) {
      loaded[kind].add(ctx.id.toString());
      const behindReplies = new Set();
      addFaults(kind, ctx, behindReplies);
      super(ctx, env);
      this.#behindReplies = behindReplies;
    }

    async answer(message) {
      if (plan.lost === kind) throw new Error('test fault');
      return super.answer(message);
    }

    async idle() {
      while (this.#behindReplies.size > 0) await Promise.allSettled([...this.#behindReplies]);
    }

    async armed() {
      if ((await this.ctx.storage.getAlarm()) === null) throw new Error('no alarm is set');
    }

    abort() {
      this.ctx.abort('evicted by the test');
    }

    async runAlarm() {
      await this.alarm();
    }

    async alarm() {
      if (plan.kind === kind) {
        seen.alarms += 1;
        plan.shiftMs = plan.alarmShiftMs ?? plan.shiftMs;
        if (plan.failingAlarms > 0) {
          plan.failingAlarms -= 1;
          throw new Error('test fault: the alarm fails');
        }
      }
      await super.alarm();
    }
  };

export const Catalog = wrapped('Catalog');
export const Database = wrapped('Database');
export const Shard = wrapped('Shard');

/** Calls a method of all loaded objects of a kind. Returns the number of failed calls. */
async function callAll(env, kind, method) {
  const namespace = env[kind.toUpperCase()];
  let failed = 0;
  for (const id of loaded[kind]) {
    try {
      await namespace.get(namespace.idFromString(id))[method]();
    } catch {
      failed += 1;
    }
  }
  return failed;
}

/**
 * Aborts all loaded objects of a kind, runs their alarms, or makes the module panic. Returns the
 * events before and during this call, the number of memories that the module has used, and the ids
 * of the loaded Shards, oldest first.
 */
async function hook(request, env) {
  const { alarm, abort, armed, panic, ...changes } = await request.json();
  // Waits for the background work, because it could do the alarm's work, or fail instead of the
  // alarm.
  if (alarm) await callAll(env, alarm, 'idle');
  const before = { ...seen };
  Object.assign(plan, changes);
  Object.assign(seen, { steps: 0, failed: 0, alarmsSet: 0, alarmsBehind: 0, alarms: 0 });
  if (abort) await callAll(env, abort, 'abort');
  // Runs the alarms immediately, because the platform would run them at an unknown time.
  const alarmsFailed = alarm ? await callAll(env, alarm, 'runAlarm') : 0;
  // Sets the state that a panic of the module leaves for the next call.
  const memory = globalThis.__worker_init_state;
  if (panic) memory.criticalError = true;
  const now = { ...seen, alarmsFailed };
  const unarmed = armed ? await callAll(env, 'Shard', 'armed') : undefined;
  const memories = memory.instanceId;
  return Response.json({ before, now, unarmed, memories, loaded: [...loaded.Shard] });
}

export default class extends WorkerEntrypoint {
  fetch(request) {
    if (new URL(request.url).pathname === '/test_fault') return hook(request, this.env);
    return new built(this.ctx, this.env).fetch(request);
  }
}
