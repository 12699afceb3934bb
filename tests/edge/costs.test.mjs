// Tests `tidemark costs`. Stand-ins replace Cloudflare's analytics and the deployment.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';

import { lastDates, ownCounters, ownDays, ownSeries, platformDays, priceOf, priceOfDay, priceOfMonth } from '../../packages/tidemark/lib/costs.mjs';
import { stagedPackage } from '../../scripts/package.mjs';
import { at } from '../../scripts/project.mjs';
import { listening } from './harness.mjs';

const { prices, object_gb: objectGb } = JSON.parse(readFileSync(at('docs', 'costs.json'), 'utf8'));

async function standIn(t, answer) {
  const server = createServer(async (incoming, outgoing) => {
    const pieces = [];
    for await (const piece of incoming) pieces.push(piece);
    const [status, body] = answer(incoming.url, Buffer.concat(pieces).toString(), incoming.headers);
    outgoing.writeHead(status, { 'Content-Type': 'application/json' });
    outgoing.end(JSON.stringify(body));
  });
  return listening(t, server);
}

const of = (date, namespaceId, sum) => ({ dimensions: { date, ...(namespaceId && { namespaceId }) }, sum });

/** Two days of usage by one agent, and the namespace of another Worker. */
const groups = ([first, second]) => ({
  workers: [of(first, null, { requests: 8_640, cpuTimeUs: 8_640_000 }), of(second, null, { requests: 4_320, cpuTimeUs: 0 })],
  invocations: [of(first, 'shards', { requests: 8_640 }), of(first, 'catalog', { requests: 24 }), of(second, 'shards', { requests: 4_320 })],
  periods: [
    of(first, 'shards', { cpuTime: 1_000_000, duration: 11, rowsRead: 100, rowsWritten: 9_000 }),
    of(first, 'of-another-script', { cpuTime: 9e9, duration: 9e9, rowsRead: 9e9, rowsWritten: 9e9 }),
  ],
});

/**
 * Returns a stand-in for the analytics API of one account and one token. `seen` receives the
 * variables of each request.
 */
const analytics = (seen) => (path, body, headers) => {
  if (path !== '/graphql' || headers.authorization !== 'Bearer an-analytics-token') {
    return [200, { data: null, errors: [{ message: 'not authorized for that account' }] }];
  }
  const { query, variables } = JSON.parse(body);
  seen.push(variables);
  for (const dataset of ['workersInvocationsAdaptive', 'durableObjectsInvocationsAdaptiveGroups', 'durableObjectsPeriodicGroups']) {
    assert.ok(query.includes(`${dataset}(`), query);
  }
  return [200, { data: { viewer: { accounts: [groups([variables.from, variables.to])] } }, errors: null }];
};

const shard = (database, values) => ({
  name: 'shard',
  tags: { database },
  columns: ['diskBytes', 'rowsRead', 'rowsWritten', 'writePointsOk', 'writeReqOk'],
  values: [values],
});
const usage = (database, values) => ({
  name: 'usage',
  tags: { database },
  columns: ['day', 'requests', 'rowsRead', 'rowsWritten', 'objectSecondsEstimate'],
  values,
});
const series = [
  { name: 'database', tags: { database: 'plant' }, columns: ['diskBytes', 'rowsRead', 'rowsWritten'], values: [[20_480, 4, 2]] },
  { name: 'quota', tags: { database: 'plant' }, columns: ['allowed', 'used'], values: [[1, 1]] },
  shard('plant', [1_000_000_000, 10, 236, 1_000_000, 200]),
  shard('plant', [500_000_000, 1, 1, 5, 1]),
  usage('plant', [['2026-11-25', 3, 1, 2, 1], ['2026-11-26', 8_640, 60, 17_280, 432]]),
  usage('other', [['2026-11-26', 8_650, 10, 17_300, 433]]),
];

test("only the usage of the Worker's own namespaces is included in its costs", async (t) => {
  const seen = [];
  const url = await standIn(t, analytics(seen));
  const dates = lastDates(2, Date.parse('2026-11-26T14:00:00Z'));
  assert.deepEqual(dates, ['2026-11-24', '2026-11-25']);
  const from = { url, token: 'an-analytics-token', account: 'an-account', script: 'tidemark' };
  const days = await platformDays(from, dates);
  assert.deepEqual(seen, [{ account: 'an-account', script: 'tidemark', from: dates[0], to: dates[1] }]);
  const first = { worker_requests: 8_640, worker_cpu_ms: 9_640, object_requests: 8_664, object_gb_s: 11, rows_read: 100, rows_written: 9_000 };
  const second = { worker_requests: 4_320, worker_cpu_ms: 0, object_requests: 4_320, object_gb_s: 0, rows_read: 0, rows_written: 0 };
  assert.deepEqual([...days], [[dates[0], first], [dates[1], second]]);
  const close = (actual, expected) => assert.ok(Math.abs(actual - expected) < 1e-9, `${actual} ${expected}`);
  close(priceOfDay(prices, first), 0.002592 + 0.0001928 + 0.0012996 + 0.0001375 + 0.0000001 + 0.009);
  // The base price includes all of this usage.
  assert.equal(priceOfMonth(prices, [first, second]), 5);
  // The usage is 300 million rows per month. The plan includes 50 million rows.
  close(priceOfMonth(prices, [{ ...second, rows_written: 10_000_000 }]), 5 + 250);
});

test('a token without the permission results in a readable error', async (t) => {
  const url = await standIn(t, analytics([]));
  const from = { url, token: 'another', account: 'an-account', script: 'tidemark' };
  await assert.rejects(platformDays(from, ['2026-11-25']), /rejected the request: not authorized for that account\. CLOUDFLARE_API_TOKEN needs .*Account Analytics/);
});

test('the console has the same prices as the table', () => {
  const card = readFileSync(at('www', 'explorer', 'card.js'), 'utf8');
  const [, shown] = /const prices = \{\s*(.*?),\s*\};/s.exec(card);
  const price = (name) => priceOf(prices[name], 1);
  const expected = {
    writeRequest: price('worker_requests') + price('object_requests'),
    rowWritten: price('rows_written'),
    rowRead: price('rows_read'),
    byteMonth: price('storage_gb') / 1e9,
    objectRequest: price('object_requests'),
    objectSecond: price('object_gb_s') * objectGb,
  };
  const found = Object.fromEntries(shown.split(/,\s*/).map((pair) => pair.split(': ')));
  assert.deepEqual(Object.keys(found), Object.keys(expected));
  for (const [name, dollars] of Object.entries(expected)) assert.ok(Math.abs(Number(found[name]) / dollars - 1) < 1e-9, name);
});

test('the deployment reports its usage by database', async () => {
  const connection = { query: async () => ({ json: async () => ({ results: [{ series }] }) }) };
  const own = await ownSeries(connection);
  assert.deepEqual([...ownDays(own, objectGb)], [
    ['2026-11-25', { worker_requests: 0, worker_cpu_ms: 0, object_requests: 3, object_gb_s: objectGb, rows_read: 1, rows_written: 2 }],
    ['2026-11-26', { worker_requests: 0, worker_cpu_ms: 0, object_requests: 17_290, object_gb_s: 865 * objectGb, rows_read: 70, rows_written: 34_580 }],
  ]);
  assert.deepEqual([...ownCounters(own)], [
    ['plant', { points: 1_000_005, requests: 201, rowsRead: 15, rowsWritten: 239, bytes: 1_500_020_480 }],
  ]);
});

async function costsProgram(program, words, env) {
  const child = spawn(process.execPath, [program, 'costs', ...words], {
    env: { PATH: process.env.PATH, TIDEMARK_TOKEN: 'a-token', ...env },
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (piece) => (text += piece));
  const code = await new Promise((resolve) => child.once('close', resolve));
  return { code, text };
}

test('in a clone of the repository, the program needs no build', async (t) => {
  const url = await standIn(t, () => [200, { results: [{ series }] }]);
  const program = at('packages', 'tidemark', 'bin', 'tidemark.mjs');
  const { code, text } = await costsProgram(program, [], { TIDEMARK_URL: url });
  assert.equal(code, 0, text);
  assert.match(text, /^2026-11-26 +17290 +111 +70 +34580 +\$0\.0386$/m);
});

test('the program prints the usage of the platform and of the deployment, and lists missing numbers', async (t) => {
  const program = join(await stagedPackage(), 'bin', 'tidemark.mjs');
  const seen = [];
  const api = await standIn(t, analytics(seen));
  const url = await standIn(t, () => [200, { results: [{ series }] }]);
  const told = (words, env) => costsProgram(program, words, { TIDEMARK_URL: url, CLOUDFLARE_API_BASE_URL: api, ...env });
  const alone = await told([], {});
  assert.equal(alone.code, 0, alone.text);
  assert.match(alone.text, /^plant +1000005 +201 +15 +239 +\$0\.0002 +\$0\.30$/m);
  assert.match(alone.text, /^2026-11-26 +17290 +111 +70 +34580 +\$0\.0386$/m);
  assert.match(alone.text, /^For the counters of Cloudflare set CLOUDFLARE_API_TOKEN/m);
  const both = await told(['--name', 'metrics', '--days', '2'], { CLOUDFLARE_API_TOKEN: 'an-analytics-token', CLOUDFLARE_ACCOUNT_ID: 'an-account' });
  assert.equal(both.code, 0, both.text);
  const [{ from, script }] = seen;
  assert.equal(script, 'metrics');
  assert.match(both.text, new RegExp(`^${from} +8640 +9640 +8664 +11 +100 +9000 +\\$0\\.0132$`, 'm'));
  assert.match(both.text, /^At this usage, a month costs \$5\.00\. This includes the price of the plan/m);
  const refused = await told(['--days', '40'], {});
  assert.deepEqual([refused.code, refused.text], [1, '"40" is not a number of days: set --days to a number from 1 to 31.\n']);
});
