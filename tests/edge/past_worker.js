// The Worker that was built, on a runtime that keeps a past: workerd refuses what the platform has for it. An object that
// goes back is what it was kept as, here by rows of its tables, where it would be what its storage was.

import * as built from './built/index.js';

/** How far the clock is ahead, milliseconds. */
let aheadMs = 0;
const nowOf = Date.now;
Date.now = () => nowOf() + aheadMs;

/** Of each object what it was, by its id: copies of its tables, ascending in time. */
const kept = new Map();
/** To what an object's next life goes back. */
const armed = new Map();
/** Names of the classes of objects, by their ids. */
const objects = new Map();
/** How many lives of objects of a class began with what was. */
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

/** A class whose objects have a past. */
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

    async fetch(request) {
      const { pathname } = new URL(request.url);
      if (pathname === '/keep') {
        const was = kept.get(String(this.#ctx.id)) ?? [];
        kept.set(String(this.#ctx.id), [...was, { time: Date.now(), copy: copyOf(this.#ctx.storage.sql) }]);
        return new Response();
      }
      if (pathname === '/alarm') {
        await super.alarm();
        return new Response();
      }
      return super.fetch(request);
    }
  };

export const Catalog = withPast(built.Catalog, 'CATALOG');
export const Database = withPast(built.Database, 'DATABASE');
export const Shard = withPast(built.Shard, 'SHARD');

export default class extends built.default {
  /**
   * `POST /past` puts the clock ahead by `aheadMs` and has all objects keep what they are, with `keep`, or their alarms
   * go off, with `alarm`; it answers what time it is and how many lives began with what was.
   */
  async fetch(request) {
    if (new URL(request.url).pathname !== '/past') return super.fetch(request);
    const asked = await request.json();
    aheadMs += asked.aheadMs ?? 0;
    for (const path of ['keep', 'alarm'].filter((name) => asked[name])) {
      for (const [id, binding] of objects) {
        const namespace = this.env[binding];
        await namespace.get(namespace.idFromString(id)).fetch(`https://object/${path}`);
      }
    }
    return Response.json({ now: Date.now(), back });
  }
}
