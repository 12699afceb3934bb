// Checks that the figures in docs/COSTS.md follow from the prices and counts in docs/costs.json,
// and that the counts equal measured counts.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

import { priceOf } from '../../packages/tidemark/lib/costs.mjs';
import { at } from '../../scripts/project.mjs';

const costs = JSON.parse(readFileSync(at('docs', 'costs.json'), 'utf8'));
const { prices, assumed, measured, free_plan_per_day: free } = costs;
const page = readFileSync(at('docs', 'COSTS.md'), 'utf8').split('\n');

const monthDays = 30;
const billed = {
  worker_requests: 'requests of the Worker',
  object_requests: 'requests of objects, alarms included',
  rows_written: 'rows written',
  object_gb_s: 'object time, GB-s',
};

const count = (number) => Math.round(number).toLocaleString('en');
const dollars = (amount) => (amount === 0 ? '$0' : `$${amount.toFixed(amount < 0.1 ? 4 : 2)}`);
const before = (name, quantity) => priceOf(prices[name], quantity);
const after = (name, quantity) => priceOf(prices[name], Math.max(0, quantity - prices[name].included));
const total = (used, price) => Object.entries(used).reduce((sum, [name, quantity]) => sum + price(name, quantity), 0);
const has = (line) => assert.ok(page.includes(line), `docs/COSTS.md has not:\n${line}`);

/**
 * Returns the usage of one agent that writes every 10 s for `days` days. Each request keeps the
 * shard active for `activeMs`.
 */
function agent(days, activeMs) {
  const { worker_requests: requests, object_requests: calls, alarms, rows_written: rows } = measured.agent_day;
  const objects = (calls + alarms) * days;
  // The platform bills setting an alarm as one written row.
  return {
    worker_requests: requests * days,
    object_requests: objects,
    rows_written: (rows + alarms) * days,
    object_gb_s: (objects * activeMs * costs.object_gb) / 1_000,
  };
}

test('the prices are the same as in the table on the page', () => {
  const names = {
    ...billed,
    worker_cpu_ms: 'CPU time of the Worker and of objects, ms',
    rows_written: 'SQLite rows written or deleted',
    rows_read: 'SQLite rows read',
    storage_gb: 'storage, GB',
    log_lines: 'stored log lines',
  };
  for (const [name, what] of Object.entries(names)) {
    const { included, dollars: price, per } = prices[name];
    has(`| ${what} | ${count(included)} | $${price} ${per === 1 ? 'each' : 'per million'} |`);
  }
});

test('the costs of an agent for a month are correct', () => {
  const [least, most] = [assumed.active_ms.least, assumed.active_ms.most].map((ms) => agent(monthDays, ms));
  const range = (one, other) => (one === other ? one : `${one} to ${other}`);
  for (const [name, what] of Object.entries(billed)) {
    const quantity = range(count(least[name]), count(most[name]));
    const price = (of) => range(dollars(of(name, least[name])), dollars(of(name, most[name])));
    has(`| ${what} | ${quantity} | ${count(prices[name].included)} | ${price(before)} | ${price(after)} |`);
  }
  for (const agents of [1, 10, 100]) {
    const used = Object.fromEntries(Object.entries(most).map(([name, quantity]) => [name, quantity * agents]));
    const price = prices.plan_dollars_per_month + total(used, after);
    has(`| ${agents} | ${count(used.worker_requests)} | ${dollars(total(used, before))} | ${dollars(price)} |`);
  }
  const readme = readFileSync(at('README.md'), 'utf8');
  assert.equal(total(most, after), 0);
  assert.ok(readme.includes(`| one Telegraf agent, every 10 seconds | $${prices.plan_dollars_per_month} a month`), 'README.md');
});

test('the number of agents for the free plan is correct', () => {
  const day = agent(1, assumed.active_ms.most);
  for (const [name, what] of Object.entries(billed)) has(`| ${what} | ${count(day[name])} | ${count(free[name])} |`);
  const agents = Math.min(...Object.keys(billed).map((name) => Math.floor(free[name] / day[name])));
  assert.ok(agents > 1 && page.join('\n').includes(`**${agents} agents**`), String(agents));
});

test('the costs of small and large writes are correct', () => {
  for (const points of [1, 100, 5_000]) {
    const used = Object.fromEntries(Object.entries(measured.write).map(([name, quantity]) => [name, (quantity * 1e6) / points]));
    has(`| ${count(points)} | ${dollars(total(used, before))} |`);
  }
});

/** Returns the numbers in the second column of a table, by data shape. */
function shapesOf(head) {
  const from = page.findIndex((line) => line.startsWith(`| shape | ${head} |`)) + 2;
  assert.ok(from > 1, head);
  const to = page.findIndex((line, n) => n >= from && !line.startsWith('|'));
  return page.slice(from, to).map((line) => /^\| (.+?) \| ([\d.]+) \|/.exec(line)?.slice(1) ?? assert.fail(line));
}

const ends = (amounts) => [Math.min(...amounts), Math.max(...amounts)].map((amount) => `$${amount.toFixed(2)}`).join(' to ');

test('the costs of a billion points and of a billion values are correct for each shape', () => {
  const readme = readFileSync(at('README.md'), 'utf8');
  const writes = 1e9 / 5_000;
  const requests = writes * ['worker_requests', 'object_requests'].reduce((sum, name) => sum + before(name, measured.write[name]), 0);
  const points = shapesOf('rows written per million points').map(([shape, rows]) => {
    const stored = before('rows_written', Number(rows) * 1_000);
    has(`| ${shape} | ${rows} | $${stored.toFixed(2)} + $${requests.toFixed(2)} = $${(stored + requests).toFixed(2)} |`);
    return stored + requests;
  });
  const values = shapesOf('bytes per value').map(([shape, bytes]) => {
    // A billion values of one byte each need one GB.
    const stored = before('storage_gb', Number(bytes));
    has(`| ${shape} | ${bytes} | $${stored.toFixed(2)} |`);
    return stored;
  });
  assert.deepEqual([points.length, values.length], [5, 5]);
  assert.ok(readme.includes(`| a billion points in batches of 5,000 | ${ends(points)} |`), ends(points));
  assert.ok(readme.includes(`| a billion values stored for a month | ${ends(values)} |`), ends(values));
});

test('the costs of a panel that reads two rows every ten seconds are correct', () => {
  const rows = ((monthDays * 86_400) / 10) * 2;
  assert.ok(rows > 500_000 && rows < 550_000);
  assert.ok(page.join('\n').includes(`: ${dollars(before('rows_read', rows))}.`), String(rows));
});

test('the counts for one agent and one day equal the measured counts', async (t) => {
  const folder = at('.cache', 'engine');
  if (!existsSync(folder)) return t.skip('there is no engine: npm run build makes it');
  const { initSync, Tidemark } = await import(`file://${folder}/tidemark.js`);
  initSync({ module: readFileSync(`${folder}/tidemark_bg.wasm`) });
  const database = new Tidemark(1n, 2n);
  const second = 1_000_000_000n;
  let now = 1_700_000_000n * second;
  let alarms = 0;
  const isDue = () => (database.next_alarm_ns() ?? now + 1n) <= now;
  const request = (path, query, type, text) => {
    now += second;
    alarms += Number(isDue());
    const [status, , body] = database.request('POST', path, query, ['content-type', type], Buffer.from(text), now);
    return { status, text: Buffer.from(body).toString() };
  };
  const rest = (seconds) => {
    now += BigInt(seconds) * second;
    while (isDue()) {
      alarms += 1;
      database.pass_time(now);
    }
  };
  const ask = (q) => JSON.parse(request('/query', 'db=d', 'application/x-www-form-urlencoded', new URLSearchParams({ q }).toString()).text);
  const lines = (first, n) => Array.from({ length: n }, (_, i) => `m,host=h${(first + i) % 10} v=${first + i}i ${1_700_000_000 + first + i}`).join('\n');
  const rows = () => ask('SHOW STATS ON d').results[0].series
    .filter(({ name }) => name !== 'usage')
    .map(({ columns, values: [row] }) => row[columns.indexOf('rowsWritten')] ?? 0)
    .reduce((sum, written) => sum + written, 0);
  ask('CREATE DATABASE d');
  assert.equal(request('/write', 'db=d&precision=s', 'text/plain', lines(0, 10)).status, 204);
  const [first, alarmsBefore] = [rows(), alarms];
  const flushes = 86_400 / 10;
  for (let flush = 0; flush < flushes; flush += 1) {
    assert.equal(request('/write', 'db=d&precision=s', 'text/plain', lines(10 + flush * 30, 30)).status, 204);
    rest(9);
  }
  assert.deepEqual(measured.agent_day, {
    worker_requests: flushes,
    object_requests: flushes,
    alarms: alarms - alarmsBefore,
    rows_written: rows() - first,
  });
});
