// The tests that every write client must pass: points of every type, a wrong token, an invalid
// line, an overloaded server, a restart.
//
// A client is a function that executes an order. An order is an object `{ action: 'types' |
// 'points' | 'line', url, token, database, ... }`. The function resolves to `{ error }`: the error
// that a user would see, or null. The action `points` writes batches of `batch` points with pauses
// of `pauseMs`. With `patient`, failed batches are repeated, either by the client library or by the
// function.

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { faultProxy } from './fault_proxy.mjs';
import { databaseToken, PlainWorkerd, tidemark, token } from './harness.mjs';

export const firstSecond = 1_700_000_000;

/** Returns points as line protocol, for clients that accept lines. */
export function pointLines(first, count) {
  const line = (i) => `load,host=h${i % 3} value=${i}i ${firstSecond + i}`;
  return Array.from({ length: count }, (_, i) => line(first + i));
}

export const everyType = {
  measurement: 'types',
  tag: ['a tag', 'x, y=z'],
  float: 1.5,
  integer: 7,
  unsigned: 9,
  string: 'say "hi", ünïcode',
  boolean: true,
};

export async function errorOf(work) {
  try {
    await work();
    return { error: null };
  } catch (error) {
    return { error: String(error?.message ?? error) };
  }
}

/** Calls `write` for each batch. With `patient`, repeats a failed batch until it succeeds. */
export async function inBatches({ first, count, batch, pauseMs = 0, patient }, write) {
  for (let from = first; from < first + count; from += batch) {
    const size = Math.min(batch, first + count - from);
    for (;;) {
      const { error } = await errorOf(() => write(from, size));
      if (error === null) break;
      if (!patient) return { error };
      await sleep(400);
    }
    await sleep(pauseMs);
  }
  return { error: null };
}

/**
 * Asserts that the client's error contains the server's text. The client may have escaped this text
 * or joined its lines.
 */
function assertTells(error, text) {
  const folded = text.replaceAll(/\s+/g, ' ');
  const shown = [text, JSON.stringify(text).slice(1, -1), folded];
  const tells = shown.some((form) => error?.includes(form)) ||
    error?.replaceAll(/\s+|\\n/g, ' ').includes(folded);
  assert.ok(tells, `the client says:\n${error}\nthe server said:\n${text}`);
}

class Trials {
  constructor(t, server, proxy, client, options) {
    Object.assign(this, { t, server, proxy, client, options });
    this.database = 'trials';
  }

  order(more) {
    const { database } = this;
    return this.client({ url: this.proxy.url, token, database, ...more });
  }

  /** Counts the stored points with the values `first` … `first + count - 1`. */
  async count(first, count) {
    const q = `SELECT value FROM load WHERE value >= ${first} AND value < ${first + count}`;
    const rows = await this.server.rows(q, { db: this.database, epoch: 's' });
    for (const [time, value] of rows) assert.equal(time, firstSecond + value);
    return rows.length;
  }

  async types() {
    const { error } = await this.order({ action: 'types' });
    assert.equal(error, null);
    const q = 'SELECT * FROM types';
    const [{ columns, values }] = await this.server.series(q, { db: this.database, epoch: 's' });
    assert.equal(values.length, 1);
    const row = Object.fromEntries(columns.map((name, i) => [name, values[0][i]]));
    const { measurement: _, tag: [key, value], ...fields } = everyType;
    const expected = { time: firstSecond, [key]: value, ...fields };
    if (!this.options.unsigned) delete expected.unsigned;
    assert.deepEqual(row, expected);
  }

  /**
   * Asserts that the order fails with `status`, and that the client's error contains the server's
   * text.
   */
  async refused(status, more) {
    this.proxy.takeWrites();
    const { error } = await this.order(more);
    const [write] = this.proxy.takeWrites();
    assert.equal(write?.status, status, error ?? 'no error');
    const { message, error: text } = JSON.parse(write.answer);
    if (this.options.hides?.includes(status)) {
      assert.notEqual(error, null);
      return;
    }
    // If the two texts differ, the longer text is the message.
    assertTells(error, message ?? text);
  }

  async badToken() {
    await this.refused(401, { action: 'points', first: 0, count: 3, batch: 3, token: 'wrong' });
    assert.equal(await this.count(0, 3), 0);
  }

  async itsOwnToken() {
    const own = await databaseToken(this.server, this.database);
    const points = { action: 'points', first: 300, count: 6, batch: 3, token: own };
    const { error } = await this.order(points);
    assert.equal(error, null);
    assert.equal(await this.count(points.first, points.count), points.count);
    await this.server.query('CREATE DATABASE foreign');
    await this.refused(403, { ...points, database: 'foreign' });
    await this.server.query('DROP DATABASE foreign');
  }

  async badLine() {
    await this.refused(400, { action: 'line', line: 'load,host=a value=' });
  }

  async overloaded(status, first) {
    const points = { action: 'points', first, count: 6, batch: 3 };
    this.proxy.refuse = [status];
    await this.refused(status, points);
    this.proxy.refuse = [status, status];
    const { error } = await this.order({ ...points, patient: true });
    assert.equal(error, null);
    assert.equal(await this.count(first, points.count), points.count);
    const statuses = this.proxy.takeWrites().map((write) => write.status);
    assert.deepEqual(statuses.slice(0, 2), [status, status]);
  }

  /**
   * Restarts the server while the client writes. If the client finishes before the restart, tries
   * again with longer pauses.
   */
  async restart() {
    for (const pauseMs of [30, 150, 700]) {
      const points = { first: pauseMs * 1000, count: 200, batch: 5, pauseMs };
      if (await this.restartDuring(points)) return;
    }
    assert.fail('all was written before each restart');
  }

  /**
   * Asserts that all points are stored after a restart. Returns whether the client was still
   * writing at the restart.
   */
  async restartDuring(points) {
    const order = { action: 'points', ...points, patient: true, url: this.server.url };
    const writing = this.order(order);
    let before = 0;
    while (before === 0) {
      await sleep(20);
      before = await this.count(points.first, points.count);
    }
    await this.server.kill();
    await sleep(300);
    await this.server.start();
    const { error } = await writing;
    assert.equal(error, null);
    assert.equal(await this.count(points.first, points.count), points.count);
    return before < points.count;
  }
}

/**
 * `options.unsigned` permits unsigned integers. `options.hides` lists the statuses for which the
 * client does not show the server's text. `options.more` maps names to tests `(server, proxy,
 * database) => …`.
 */
export async function clientTrials(t, client, options = {}) {
  const server = await tidemark(t, {}, PlainWorkerd);
  const proxy = await faultProxy(t, server.url);
  const trials = new Trials(t, server, proxy, client, options);
  await server.query(`CREATE DATABASE ${trials.database}`);
  await t.test('a field of every type', () => trials.types());
  await t.test('a wrong token', () => trials.badToken());
  await t.test("a token for one database", () => trials.itsOwnToken());
  await t.test('an invalid line', () => trials.badLine());
  await t.test('an overloaded server, 503', () => trials.overloaded(503, 100));
  await t.test('an overloaded server, 429', () => trials.overloaded(429, 200));
  for (const [name, work] of Object.entries(options.more ?? {})) {
    await t.test(name, () => work(server, proxy, trials.database));
  }
  await t.test('a restart', () => trials.restart());
}
