// Tests the SQL process with a stand-in for its module. Statements hang, cause a trap or use too
// much memory.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Engine } from '../../sql/process/engine.mjs';
import { SqlSupervisor } from '../../sql/process/supervisor.mjs';
import { Sessions } from '../../sql/sessions.js';
import { temporaryFolder } from './harness.mjs';

/**
 * A stand-in for the module: each message is a command, and each reply is the number of turns that
 * the thread has run.
 */
const standIn = `
let turns = 0;
let kept;
export function initSync() {}
export function turn(session, message) {
  turns += 1;
  const word = new TextDecoder().decode(message);
  if (word === 'trap') throw new WebAssembly.RuntimeError('unreachable');
  if (word === 'fill') kept = new Uint8Array(400e6).fill(1);
  while (word === 'hang' || word === 'fill');
  return new TextEncoder().encode(String(turns));
}
export const is_over = () => false;
export const end = () => {};
export const memory_bytes = () => turns * 1000;
`;

function standInFolder(t) {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'module.mjs'), standIn);
  writeFileSync(join(folder, 'index_bg.wasm'), Buffer.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]));
  return folder;
}

async function engineOf(t, limits) {
  const events = [];
  const engine = await Engine.load(standInFolder(t), { logEvent: (event, more) => events.push({ event, ...more }), limits });
  t.after(() => engine.worker?.terminate());
  return { engine, events, sessions: new Sessions(engine) };
}

const ask = async (session, word) => Buffer.from(await session.turn(new TextEncoder().encode(word))).toString();

test('a turn that hangs is stopped, and the other statements in its thread fail', async (t) => {
  const { sessions, events } = await engineOf(t, { turnMs: 500, checkMs: 50 });
  const [hanging, other] = [sessions.open(), sessions.open()];
  assert.equal(await ask(other, 'go on'), '1');
  const stopped = assert.rejects(ask(hanging, 'hang'), /^Error: stopped: .* it ran for more than 0.5 seconds/);
  await sleep(100);
  const lost = assert.rejects(ask(other, 'go on'), /^Error: lost: /);
  await Promise.all([stopped, lost]);
  // After the failure, the statement can start again in a new thread.
  assert.equal(await ask(other, 'go on'), '1');
  assert.deepEqual(events.map(({ event }) => event), ['sql_stopped']);
});

test('a turn that uses too much memory is stopped', async (t) => {
  const processBytes = process.memoryUsage.rss() + 200e6;
  const { sessions } = await engineOf(t, { processBytes, checkMs: 50 });
  await assert.rejects(ask(sessions.open(), 'fill'), /^Error: stopped: .* MiB of memory/);
  const before = Date.now();
  while (process.memoryUsage.rss() > processBytes && Date.now() - before < 10_000) await sleep(50);
  assert.ok(process.memoryUsage.rss() <= processBytes, 'the memory of the thread is free');
  assert.equal(await ask(sessions.open(), 'go on'), '1');
});

test('a trap ends only the thread in which it occurs', async (t) => {
  const { sessions } = await engineOf(t, {});
  await assert.rejects(ask(sessions.open(), 'trap'), /^Error: a query exhausted its stack or its memory/);
  assert.equal(await ask(sessions.open(), 'go on'), '1');
});

test('an idle thread that uses much memory is replaced', async (t) => {
  const { sessions } = await engineOf(t, { idleBytes: 2_500 });
  const first = sessions.open();
  assert.equal(await ask(first, 'go on'), '1');
  await first.end();
  const second = sessions.open();
  assert.equal(await ask(second, 'go on'), '2');
  assert.equal(await ask(second, 'go on'), '3');
  await second.end();
  assert.equal(await ask(sessions.open(), 'go on'), '1');
});

test('a process that has ended is started again at the same port', async (t) => {
  const events = [];
  const env = { SQL_BASE: '/secret/', SQL_LIMITS: '{"turnMs":500}' };
  const logEvent = (event, more) => events.push({ event, ...more });
  const supervisor = new SqlSupervisor({ folder: standInFolder(t), port: 0, env, logEvent });
  t.after(() => supervisor.stop());
  const url = `http://127.0.0.1:${await supervisor.start()}`;
  const post = async (path, body) => {
    const response = await fetch(url + path, { method: 'POST', body });
    return [response.status, await response.text()];
  };
  assert.deepEqual(await post('/secret/a', 'go on'), [200, '1']);
  assert.equal((await post('/other/a', 'go on'))[0], 404);
  assert.equal(getPriority(supervisor.pid), 10);
  const [status, text] = await post('/secret/b', 'hang');
  assert.equal(status, 503);
  assert.match(text, /^stopped: the statement was stopped: it ran for more than 0.5 seconds/);
  process.kill(supervisor.pid, 'SIGKILL');
  let reply = null;
  for (let tries = 0; reply === null && tries < 200; tries += 1) {
    await sleep(50);
    reply = await post('/secret/a', 'go on').catch(() => null);
  }
  assert.deepEqual(reply, [200, '1']);
  assert.deepEqual(events.map(({ event }) => event), ['sql_stopped', 'sql_crashed']);
});
