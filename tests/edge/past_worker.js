// Runs the built Worker on a runtime that keeps earlier states of objects. workerd itself rejects
// the platform's functions for earlier states. On the platform, a reset object gets its earlier
// storage. In this Worker, it gets the earlier rows of its tables.

import * as built from './built/index.js';

let aheadMs = 0;
const nowOf = Date.now;
Date.now = () => nowOf() + aheadMs;

/** Copies of each object's tables, by object id, in ascending order of time. */
const kept = new Map();
/** The time to which an object is reset when it starts again, by object id. */
const armed = new Map();
/** The class name of each object, by object id. */
const objects = new Map();
/** For each class, the number of objects that have started with an earlier state. */
const back = { CATALOG: 0, DATABASE: 0, SHARD: 0 };

const quoted = (name) => `"${name.replaceAll('"', '""')}"`;

function copyOf(sql) {
  const tables = sql.exec("SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '_cf_%'").toArray();
  return tables.map((table) => ({ ...table, rows: [...sql.exec(`SELECT * FROM ${quoted(table.name)}`).raw()] }));
}

function putBack(sql, copy) {
  for (const { name } of copyOf(sql)) sql.exec(`DROP TABLE ${quoted(name)}`);
  for (const { name, sql: text, rows } of copy) {
    sql.exec(text);
    for (const row of rows) sql.exec(`INSERT INTO ${quoted(name)} VALUES (${row.map(() => '?').join()})`, ...row);
  }
}

/**
 * Returns a class whose objects can store their state, and can start again with an earlier state.
 */
const withPast = (Class, binding) =>
  class extends Class {
    #ctx;

    constructor(ctx, env) {
      const id = String(ctx.id);
      objects.set(id, binding);
      if (armed.has(id)) {
        putBack(ctx.storage.sql, armed.get(id));
        armed.delete(id);
        back[binding] += 1;
      }
      Object.defineProperties(ctx.storage, {
        getBookmarkForTime: {
          value: async (time) => {
            const at = (kept.get(id) ?? []).findLastIndex((was) => was.time <= time);
            if (at < 0) throw new Error('Requested time is before this database existed.');
            return String(at);
          },
        },
        onNextSessionRestoreBookmark: {
          value: async (at) => {
            armed.set(id, kept.get(id)[Number(at)].copy);
          },
        },
      });
      super(ctx, env);
      this.#ctx = ctx;
    }

    keep() {
      const was = kept.get(String(this.#ctx.id)) ?? [];
      kept.set(String(this.#ctx.id), [...was, { time: Date.now(), copy: copyOf(this.#ctx.storage.sql) }]);
    }

    async runAlarm() {
      await super.alarm();
    }
  };

export const Catalog = withPast(built.Catalog, 'CATALOG');
export const Database = withPast(built.Database, 'DATABASE');
export const Shard = withPast(built.Shard, 'SHARD');

export default class extends built.default {
  /**
   * Moves the clock forward by `aheadMs`. With `keep`, stores a copy of the current state of all
   * objects. With `runAlarm`, runs the alarms of all objects. Returns the time and the number of
   * objects that have started with an earlier state.
   */
  async fetch(request) {
    if (new URL(request.url).pathname !== '/past') return super.fetch(request);
    const asked = await request.json();
    aheadMs += asked.aheadMs ?? 0;
    for (const method of ['keep', 'runAlarm'].filter((name) => asked[name])) {
      for (const [id, binding] of objects) {
        const namespace = this.env[binding];
        await namespace.get(namespace.idFromString(id))[method]();
      }
    }
    return Response.json({ now: Date.now(), back });
  }
}
