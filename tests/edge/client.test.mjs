// Tests tidemark/client: when it sends and repeats requests, their contents, and its results.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { startTidemark } from '../../examples/miniflare/tidemark.mjs';
import { Tidemark, TidemarkError } from '../../packages/tidemark/client/client.js';
import { token } from './harness.mjs';

function binding(answers = []) {
  const asked = [];
  return {
    asked,
    async fetch(url, { body }) {
      asked.push({ path: new URL(url).pathname, lines: String(body).split('\n') });
      const answer = answers.shift() ?? [204];
      if (answer instanceof Error) throw answer;
      const [status, text = null, headers = {}] = answer;
      return new Response(text, { status, headers });
    },
  };
}

const client = (bound, more = {}) => new Tidemark({ binding: bound, token: 't', database: 'd', gatherMs: 20, ...more });

/**
 * Returns a stand-in for a Worker's context. `over()` resolves after all work that was passed to
 * `waitUntil`.
 */
function context() {
  const promises = [];
  return { waitUntil: (promise) => promises.push(promise), promises, over: () => Promise.all(promises) };
}

const point = (n, time = BigInt(n)) => ({ measurement: 'm', fields: { v: n }, time });

test('points of many requests are sent together, after a delay or at a number of points', async () => {
  const bound = binding();
  const it = client(bound, { batchPoints: 3 });
  const requests = [context(), context()];
  it.write(point(1), requests[0]);
  it.write(point(2), requests[1]);
  assert.deepEqual([requests[0].promises.length, requests[1].promises.length], [1, 0], 'one request waits for both');
  await requests[0].over();
  assert.deepEqual(bound.asked, [{ path: '/api/v3/write_lp', lines: ['m v=1 1', 'm v=2 2'] }]);

  const third = context();
  it.write([3, 4, 5, 6].map((n) => point(n)), third);
  await third.over();
  assert.deepEqual(bound.asked.slice(1).map(({ lines }) => lines.length), [3, 1]);

  // The first request has ended before it sent its points, so a later request sends them.
  const dead = { waitUntil() {} };
  const lost = client(bound, { gatherMs: 200 });
  lost.write(point(7), dead);
  const now = Date.now;
  const later = context();
  Date.now = () => now() + 1_000;
  try {
    lost.write(point(8), later);
  } finally {
    Date.now = now;
  }
  assert.equal(later.promises.length, 1);
  await lost.flush();
  assert.deepEqual(bound.asked.at(-1).lines, ['m v=7 7', 'm v=8 8']);
  await lost.flush();
  assert.equal(bound.asked.length, 4, 'nothing is sent twice');
});

test('a write is repeated if its result is unknown or the server is busy, but not if the server rejects it', async () => {
  const busy = [503, '{"error":"busy"}', { 'Retry-After': '0.01' }];
  const partial = [400, JSON.stringify({
    error: 'partial write of line protocol occurred', message: '1 points written, 1 lines rejected',
    data: [{ original_line: 'm v=2 2', line_number: 2, error_message: 'field type conflict' }],
  })];
  const bound = binding([busy, [429, '', { 'Retry-After': '0.01' }], new Error('connection lost'), [204]]);
  const it = client(bound);
  it.write(point(1));
  await it.flush();
  assert.deepEqual(bound.asked.map(({ lines }) => lines), Array(4).fill(['m v=1 1']));

  for (const [answer, status] of [[partial, 400], [[401, '{"error":"unauthorized access"}'], 401], [[413, 'too large'], 413]]) {
    const once = binding([answer]);
    const refused = client(once);
    refused.write([point(1), point(2)]);
    const error = await refused.flush().then(() => null, (one) => one);
    assert.ok(error instanceof TidemarkError && error.status === status, String(error));
    const rejected = status === 400 ? [{ line: 'm v=2 2', reason: 'field type conflict' }] : [];
    assert.deepEqual(error.rejected, rejected);
    await refused.flush();
    assert.equal(once.asked.length, 1);
  }
});

test('unwritten points are kept up to a limit, and reported', async () => {
  const told = [];
  const bound = binding(Array.from({ length: 8 }, () => [503, '{"error":"full"}', { 'Retry-After': '0.001' }]));
  const it = client(bound, { onError: (error) => told.push(error.message) });
  const request = context();
  it.write(point(1), request);
  await request.over();
  assert.equal(bound.asked.length, 4);
  assert.deepEqual(told, ['Tidemark returned 503: full']);
  const large = { measurement: 'm', fields: { v: 'x'.repeat(900_000) }, time: 1n };
  for (let n = 0; n < 8; n += 1) it.write(large);
  assert.throws(() => it.write(large), /9 points are waiting to be written, and no more are allowed: wait for a flush, or drop points/);
  bound.asked.length = 0;
  await assert.rejects(it.flush(), /503: full/);
  assert.ok(bound.asked.every(({ lines }) => lines.join('\n').length < 2_000_000));
  await it.flush();
  it.write(large);
});

test('points are converted to line protocol, and one invalid point rejects the whole call', () => {
  const it = client(binding());
  const fields = { v: 1 };
  for (const [wrong, why] of [
    [{ measurement: '', fields }, /measurement "" is empty/],
    [{ measurement: '#m', fields }, /cannot begin with #/],
    [{ measurement: 'm', fields: {} }, /has no field/],
    [{ measurement: 'm', fields: { v: NaN } }, /field "v" is NaN/],
    [{ measurement: 'm', fields: { v: 2n ** 63n } }, /64-bit bigint/],
    [{ measurement: 'm', fields: { v: {} } }, /field "v" is/],
    [{ measurement: 'm', tags: { t: 'a\nb' }, fields }, /value of tag t "a\\nb"/],
    [{ measurement: 'm', tags: { t: 'a\\' }, fields }, /ends with a backslash/],
    [{ measurement: 'm', fields, time: 12 }, /time is 12/],
    [{ measurement: 'm', fields, time: new Date(NaN) }, /time is Invalid Date/],
  ]) {
    assert.throws(() => it.write([point(1), wrong]), why);
  }
});

test('written points are read back unchanged', async (t) => {
  // Points without a time must differ even if the random numbers are equal.
  t.mock.method(Math, 'random', () => 0);
  const server = await startTidemark({ token, settings: { AUTO_CREATE_RETENTION: 'none', LOG_REQUESTS: 'none' } });
  t.after(() => server.stop());
  const it = new Tidemark({ url: server.url, token, database: 'd' });
  const text = 'a "quoted" \\ text,\nwith = lines';
  const strange = 'a,b= c\\d';
  it.write([
    {
      measurement: `m ${strange}`,
      tags: { [strange]: strange, no: '', none: null, number: 7 },
      fields: { [strange]: text, i: 2n ** 63n - 1n, f: 1e300, whole: 3, b: true, none: undefined },
      time: 1_700_000_000_123_456_789n,
    },
    { measurement: 'd', fields: { v: 1n }, time: new Date('2026-01-01T00:00:00.5Z') },
    ...Array.from({ length: 1_000 }, () => ({ measurement: 'now', fields: { n: 1n } })),
  ]);
  await it.flush();
  const [[series]] = await it.query('SELECT *::field, *::tag FROM /^m/');
  const row = Object.fromEntries(series.columns.map((column, n) => [column, series.values[0][n]]));
  assert.deepEqual([series.name, row], [`m ${strange}`, {
    time: '2023-11-14T22:13:20.123456789Z',
    [`${strange}_1`]: strange, [strange]: text, b: true, f: 1e300, i: 2n ** 63n - 1n, number: '7', whole: 3,
  }]);
  const [[dated]] = await it.query('SELECT v FROM d WHERE v = $v', { epoch: 'ns', params: { v: 1 } });
  assert.deepEqual(dated.values, [[1_767_225_600_500_000_000n, 1]]);
  // All points that were written without a time in the same millisecond are stored.
  const [[counted]] = await it.query('SELECT sum(n) FROM now');
  assert.equal(counted.values[0][1], 1_000);
  await assert.rejects(it.query('SELECT v FROM d; DROP'), /found EOF/);
  await assert.rejects(it.query('SELECT bottom(v) FROM d'), TidemarkError);
  await assert.rejects(new Tidemark({ url: server.url, token: 'another', database: 'd' }).query('SHOW DATABASES'), { status: 401 });
});
