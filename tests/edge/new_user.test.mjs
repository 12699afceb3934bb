// Tests the first steps of a new user: the npm package runs with npx, and the native
// program serves, writes, queries, restarts and imports an export. The results must remain the same.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { freePort } from '../../scripts/dev-server.mjs';
import { packPackage } from '../../scripts/package.mjs';
import { endGroup, signalGroup, startGroup } from '../../scripts/processes.mjs';
import { npm } from '../../scripts/project.mjs';
import { version } from '../../scripts/release.mjs';
import { sampleLines } from '../../scripts/sample.mjs';
import { command, commandProgram } from './commands.mjs';
import { temporaryFolder } from './harness.mjs';
import { packageRegistry } from './package_registry.mjs';

const questions = [
  'SHOW MEASUREMENTS; SHOW FIELD KEYS; SHOW TAG KEYS; SHOW SERIES CARDINALITY',
  // The sum of floats depends on the order of the rows, and a flush may change this order.
  'SELECT count(*), min(*), max(*), last(*) FROM /.*/ GROUP BY *',
  'SELECT * FROM /.*/ ORDER BY time DESC LIMIT 20',
];

/** Resolves when the server prints its address. `log` contains all output so far. */
async function started(command, args, options) {
  const child = startGroup(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  const server = { child, log: '', url: '' };
  await new Promise((resolve, reject) => {
    const take = (piece) => {
      server.log += piece;
      const found = /^\{.*"event":"started".*\}$/m.exec(server.log);
      if (found) resolve((server.url = JSON.parse(found[0]).url));
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.ended.then(() => reject(new Error(`it ended: ${server.log}`)));
  });
  return server;
}

/** Ends the server with a signal, as Ctrl-C and `docker stop` do. */
async function stopped(server, signal) {
  signalGroup(server.child, signal);
  await server.child.ended;
  assert.match(server.log, /"event":"stopped"/);
}

test('the npm package runs with npx', { timeout: 300_000 }, async (t) => {
  const desk = temporaryFolder(t);
  const archive = await packPackage(desk);
  const [npmCommand, npmWords] = npm();
  const npx = [...npmWords, 'exec', '--yes', '--package', archive, '--', 'tidemark'];
  // The registry runs in this process, so the call must be asynchronous.
  const registry = await packageRegistry(t);
  const env = { PATH: process.env.PATH, HOME: desk, npm_config_registry: registry, npm_config_cache: join(desk, '.npm'), npm_config_fetch_retries: '0' };
  const shown = await promisify(execFile)(npmCommand, [...npx, '--version'], { cwd: desk, env });
  assert.match(shown.stdout, new RegExp(`^${version()}$`, 'm'));
});

test('the native program returns the same results after a restart and an import', { timeout: 300_000 }, async (t) => {
  const home = temporaryFolder(t);
  const PORT = String(await freePort());
  const TIDEMARK_URL = `http://127.0.0.1:${PORT}`;
  const program = await commandProgram();
  // The commands read the token from the folder of the server.
  const tidemark = async (words, input = '') => {
    const { code, output, said } = await command(words, { url: TIDEMARK_URL, secret: '', input, cwd: home });
    assert.equal(code, 0, `${words}: ${output}${said}`);
    return output;
  };
  const answers = async () => {
    const all = [];
    for (const q of questions) all.push(await tidemark(['query', '--database', 'demo', '--epoch', 'ns', q]));
    return all;
  };
  const serve = () => started(program, ['serve'], { cwd: home, env: { PATH: process.env.PATH, HOME: home, PORT } });

  const first = await serve();
  t.after(() => endGroup(first.child));
  assert.equal(first.url, TIDEMARK_URL);
  assert.equal((await fetch(`${first.url}/`)).headers.get('content-type'), 'text/html; charset=utf-8');
  await tidemark(['query', 'CREATE DATABASE demo']);
  await tidemark(['import', '--database', 'demo', '--precision', 's', '-'], sampleLines());
  await tidemark(['import', '--database', 'demo', '-'], 'm,t=a i=9007199254740993i,f=0.1,s="x y",b=true 1\n');
  const expected = await answers();
  assert.match(expected[1], /9007199254740993/);
  assert.ok(expected[1].length > 500, expected[1]);
  await tidemark(['export', '--database', 'demo', '--out', 'demo.lp.gz']);
  await stopped(first, 'SIGINT');

  const second = await serve();
  t.after(() => endGroup(second.child));
  assert.deepEqual(await answers(), expected);
  await tidemark(['query', 'DROP DATABASE demo']);
  await tidemark(['import', 'demo.lp.gz']);
  assert.deepEqual(await answers(), expected);
  await stopped(second, 'SIGTERM');
  assert.ok(existsSync(join(home, 'tidemark-data', 'token')));
});
