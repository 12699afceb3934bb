// Tests that the commands in the documentation work with every Node that npm supports, including
// Node 20.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

import { parse } from 'smol-toml';

import { configurationWith } from '../../scripts/bound-configuration.mjs';
import { hasSql, sqlFolder } from '../../scripts/modules.mjs';
import { stagedPackage } from '../../scripts/package.mjs';
import { at, newNode } from '../../scripts/project.mjs';
import { startSqlProcess } from '../../sql/process/binding.mjs';
import { temporaryFolder } from './harness.mjs';

test('npm run wrangler runs the locked wrangler with a supported Node', async () => {
  const args = ['run', '--silent', 'wrangler', '--', '--version'];
  const env = { ...process.env, WRANGLER_SEND_METRICS: 'false' };
  const { stdout } = await promisify(execFile)('npm', args, { cwd: at(), env });
  const { devDependencies } = JSON.parse(readFileSync(at('package.json'), 'utf8'));
  assert.ok(stdout.includes(devDependencies.wrangler), stdout);
});

test('no deployment stores logs, which would contain the URL of each request', async () => {
  const isOff = ({ observability }) => assert.deepEqual({ ...observability }, { enabled: false });
  const read = (path) => /** @type {any} */ (parse(readFileSync(path, 'utf8')));
  isOff(read(at('wrangler.toml')));
  isOff(read(await configurationWith({ sql: true, backups: true })));
  isOff(JSON.parse(readFileSync(join(await stagedPackage(), 'built', 'about.json'), 'utf8')).deployment);
});

test('SQL and a backup bucket are bound together, and each choice has its own file', async () => {
  const written = async (wanted) => parse(readFileSync(await configurationWith(wanted), 'utf8'));
  const bindings = ({ services = [], r2_buckets: buckets = [] }) => [...services, ...buckets].map(({ binding }) => binding);
  assert.deepEqual(bindings(await written({ sql: true, backups: true })), ['SQL', 'BACKUPS']);
  assert.deepEqual(bindings(await written({ sql: true })), ['SQL']);
  assert.deepEqual(bindings(await written({ backups: true })), ['BACKUPS']);
  const files = await Promise.all([{ sql: true, backups: true }, { sql: true }, { backups: true }].map(configurationWith));
  assert.equal(new Set(files).size, 3);
});

test('a second server does not write the configuration of the first one again', async () => {
  const file = await configurationWith({ sql: true });
  const { mtimeNs } = statSync(file, { bigint: true });
  assert.equal(await configurationWith({ sql: true }), file);
  assert.equal(statSync(file, { bigint: true }).mtimeNs, mtimeNs);
});

/** Resolves to the address of a session, and to a function that ends the compilation. */
async function uncompiledSql(t) {
  const stateDir = temporaryFolder(t);
  let finish = (_isBuilt) => {};
  const built = new Promise((done) => (finish = done));
  const { configuration, stop } = await startSqlProcess({ node: newNode(), folder: sqlFolder, stateDir, built });
  t.after(stop);
  const { vars } = /** @type {any} */ (parse(readFileSync(configuration, 'utf8')));
  const session = `${vars.PROCESS_URL}session`;
  const refusal = async () => {
    const response = await fetch(session, { method: 'POST', body: 'a statement' });
    return [response.status, await response.text()];
  };
  return { session, finish, refusal };
}

test('statements get an error while SQL is being compiled, and succeed afterwards', async (t) => {
  if (!hasSql()) return t.skip('SQL is not built: npm run sql');
  const { session, finish, refusal } = await uncompiledSql(t);
  assert.deepEqual(await refusal(), [503, 'lost: SQL is still being compiled; retry in a few minutes']);
  finish(true);
  let status = 0;
  while (status !== 200) {
    await sleep(50);
    status = await fetch(session, { method: 'DELETE' }).then((response) => response.status, () => 0);
  }
});

test('statements get a different error if the compilation of SQL failed', async (t) => {
  const { finish, refusal } = await uncompiledSql(t);
  finish(false);
  await sleep(0);
  assert.deepEqual(await refusal(), [503, 'lost: SQL was not compiled; run `npm run sql`, and start again']);
});
