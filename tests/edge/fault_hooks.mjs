// Shared functions of the tests with fault hooks. They start a server with tests/fault/worker.mjs,
// and keep a record of the written points.

import assert from 'node:assert/strict';

import { at } from '../../scripts/project.mjs';
import { PlainWorkerd, tidemark } from './harness.mjs';

const script = at('tests', 'fault', 'worker.mjs');
export const db = 'faults';
const hourMs = 3_600_000;

export async function begin(t, vars = {}) {
  const server = await tidemark(t, { script, vars, stdio: 'ignore' }, PlainWorkerd);
  const ledger = new Map();
  let shiftMs = 0;
  const it = {
    server,
    ledger,
    /** Returns the events since the last call, including the events of this call. */
    async hook(plan = {}) {
      const body = JSON.stringify(plan);
      const response = await server.fetch('/test_fault', { method: 'POST', body });
      assert.equal(response.status, 200);
      return response.json();
    },
    /** Moves the clock forward, then runs the alarms of all Shards. */
    alarm: (plan = {}) => it.hook({ shiftMs: (shiftMs += 2 * hourMs), alarm: 'Shard', ...plan }),
    heal: () => it.hook({ at: 0, pages: 0, failingAlarms: 0, abort: 'Shard' }),
    async write(points) {
      const lines = points.map(([time, value]) => `m,host=h${time % 3} v=${value}i ${time}`);
      const response = await server.write(lines.join('\n'), { db });
      await response.arrayBuffer();
      if (response.status === 204) for (const [time, value] of points) ledger.set(time, value);
      else assert.ok(response.status >= 500, `a write with good lines: ${response.status}`);
      return response.status === 204;
    },
    async found() {
      const rows = await server.rows('SELECT v FROM m', { db, epoch: 'ns' });
      return new Map(rows.map(([time, v]) => [time, v]));
    },
    /** Asserts that every acknowledged point is stored exactly once, with its last value. */
    async check(what, found) {
      const sorted = [...ledger].sort(([a], [b]) => a - b);
      assert.deepEqual([...(found ?? (await it.found()))], sorted, what);
    },
  };
  await server.query(`CREATE DATABASE ${db}`);
  return it;
}

/**
 * Returns points `[time, value]`. Calls with different `value` return different values, so that a
 * test can identify the write.
 */
export const pointsFrom = (first, count, value) =>
  Array.from({ length: count }, (_, i) => [first + i, value * 1000 + i]);

