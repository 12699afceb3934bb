// Tests the shell of `tidemark query` at a terminal.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { commandProgram } from './commands.mjs';
import { has, PlainWorkerd, tidemark, token } from './harness.mjs';

/** `type(keys)` types keys, and `shows(pattern)` waits until the output matches. */
test('the shell completes words, keeps a history, and continues after an error', async (t) => {
  if (!has(t, 'script')) return;
  const server = await tidemark(t, {}, PlainWorkerd);
  await server.query('CREATE DATABASE demo');
  await server.mustWrite('weather,city=Oslo temperature=12.5 1', { db: 'demo' });
  const env = { ...process.env, TIDEMARK_URL: server.url, TIDEMARK_TOKEN: token, XDG_STATE_HOME: server.folder, TERM: 'xterm' };
  const shell = spawn('script', ['-qfec', `${await commandProgram()} query --database demo`, '/dev/null'], { env });
  t.after(() => shell.kill('SIGKILL'));
  const ended = once(shell, 'exit');
  let screen = '';
  shell.stdout.on('data', (piece) => (screen += piece));
  const shows = async (pattern) => {
    for (let triesLeft = 200; !pattern.test(screen); triesLeft -= 1) {
      assert.ok(triesLeft > 0, `${pattern}: ${screen}`);
      await sleep(50);
    }
    screen = '';
  };
  const type = (keys) => shell.stdin.write(keys);
  await shows(/demo> /);
  // A tab inside pasted text must not start a completion.
  for (const [keys, completed] of [['sel', /SELECT/], [' * from wea', /ther/]]) {
    type(keys);
    await shows(new RegExp(keys.slice(-3)));
    type('\t');
    await shows(completed);
  }
  type('\r');
  await shows(/Oslo +12\.5\r\n[^]*demo> /);
  type('SELECT\r');
  await shows(/found EOF[^]*demo> /);
  type('format csv\rSELECT temperature FROM weather\r');
  await shows(/weather,,\d+,12\.5[^]*demo> /);
  type("CREATE USER u WITH PASSWORD 'secret words'\r");
  await shows(/secret words[^]*demo> /);
  type('exit\r');
  assert.equal((await ended)[0], 0);
  const history = readFileSync(join(server.folder, 'tidemark', 'history'), 'utf8');
  assert.match(history, /^SELECT temperature FROM weather$/m);
  assert.doesNotMatch(history, /secret words/);
});
