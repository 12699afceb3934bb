// Writes the same points repeatedly, with their fields in different writes, out of order, and with
// times that are years apart. The points are in the log, in memory or in parts. For each field the
// last write must win, and no point may count twice.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { begin, db } from './fault_hooks.mjs';

const yearS = 31_557_600;
/** Each time slot contains two of these times. */
const times = [-20, 0, 53, 54, 130].flatMap((years) => [years * yearS, years * yearS + 7]);
const hosts = 3;
const fields = ['f', 'i', 's'];
const value = { f: (n) => `${n}.5`, i: (n) => `${n}i`, s: (n) => `"${n}"` };
const shown = { f: (n) => n + 0.5, i: (n) => n, s: (n) => `${n}` };

test('the last write of a field wins in every kind of storage, and count() counts the point once', async (t) => {
  const it = await begin(t, { DEFAULT_SHARDS: '2' });
  const { server } = it;
  const cells = new Map();
  let n = 0;
  const check = async (what) => {
    const expected = [];
    for (const time of times) {
      for (let host = 0; host < hosts; host++) {
        const row = fields.map((field) => cells.get(`${time} ${host} ${field}`));
        if (row.every((at) => at === undefined)) continue;
        const values = row.map((at, k) => (at === undefined ? null : shown[fields[k]](at)));
        expected.push([time, ...values, `h${host}`]);
      }
    }
    const rows = await server.rows('SELECT f, i, s, host FROM m', { db, epoch: 's' });
    rows.sort((a, b) => a[0] - b[0] || a[4].localeCompare(b[4]));
    assert.deepEqual(rows, expected, what);
    const [counts] = await server.rows('SELECT count(f), count(i), count(s) FROM m', { db, epoch: 's' });
    const present = fields.map((_, k) => expected.filter((row) => row[k + 1] !== null).length);
    assert.deepEqual(counts.slice(1), present, what);
  };
  for (let round = 0; round < 24; round++) {
    const lines = [];
    for (let line = 0; line < 20; line++) {
      // The fixed order of the writes is not the order of time.
      const at = (round * 20 + line) * 2654435761;
      const [time, host] = [times[at % times.length], (at >>> 4) % hosts];
      const chosen = fields.filter((_, k) => k === at % 3 || (at >>> (k + 7)) % 2);
      n += 1;
      for (const field of chosen) cells.set(`${time} ${host} ${field}`, n);
      lines.push(`m,host=h${host} ${chosen.map((f) => `${f}=${value[f](n)}`).join(',')} ${time}`);
    }
    await server.mustWrite(lines.join('\n'), { db, precision: 's' });
    // Some batches are sent twice. This must not change any result.
    if (round % 4 === 1) await server.mustWrite(lines.join('\n'), { db, precision: 's' });
    await check(`round ${round}, in the log`);
    if (round % 3 === 2) await it.alarm();
    if (round % 5 === 4) await it.heal();
    await check(`round ${round}`);
  }
  t.diagnostic(`${n} points in 24 writes, ${cells.size} fields of them left`);
});
