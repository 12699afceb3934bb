// Tests that the commands in the documentation run with any supported Node of `npm`; version 20 is
// sufficient.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { parse } from 'smol-toml';

import { configurationWith } from '../../scripts/bound-configuration.mjs';
import { stagedPackage } from '../../scripts/package.mjs';
import { at } from '../../scripts/project.mjs';
import { hintOfSql, withBinding } from '../../scripts/sql-binding.mjs';

test('npm run wrangler is the locked wrangler, by a Node that it accepts', async () => {
  const args = ['run', '--silent', 'wrangler', '--', '--version'];
  const env = { ...process.env, WRANGLER_SEND_METRICS: 'false' };
  const { stdout } = await promisify(execFile)('npm', args, { cwd: at(), env });
  const { devDependencies } = JSON.parse(readFileSync(at('package.json'), 'utf8'));
  assert.ok(stdout.includes(devDependencies.wrangler), stdout);
});

test('no deployment stores logs, which would have the URL of each request', async () => {
  const isOff = ({ observability }) => assert.deepEqual({ ...observability }, { enabled: false });
  const read = (path) => /** @type {any} */ (parse(readFileSync(path, 'utf8')));
  isOff(read(at('wrangler.toml')));
  isOff(read(await configurationWith({ sql: true, backups: true })));
  isOff(JSON.parse(readFileSync(join(await stagedPackage(), 'built', 'about.json'), 'utf8')).deployment);
});

test('SQL is bound beside what is bound already, in every environment', () => {
  const [own, sql] = [{ binding: 'OWN', service: 'own' }, { binding: 'SQL', service: 'tidemark-sql' }];
  const bound = withBinding({ name: 'a', services: [own], env: { stage: { vars: { A: '1' } } } });
  assert.deepEqual(bound, {
    name: 'a',
    services: [own, sql],
    env: { stage: { vars: { A: '1' }, services: [sql] } },
  });
  assert.deepEqual(withBinding({ name: 'a' }), { name: 'a', services: [sql] });
});

test('SQL and a bucket for backups are bound together, each choice in a file of its own', async () => {
  const written = async (wanted) => parse(readFileSync(await configurationWith(wanted), 'utf8'));
  const bindings = ({ services = [], r2_buckets: buckets = [] }) => [...services, ...buckets].map(({ binding }) => binding);
  assert.deepEqual(bindings(await written({ sql: true, backups: true })), ['SQL', 'BACKUPS']);
  assert.deepEqual(bindings(await written({ sql: true })), ['SQL']);
  assert.deepEqual(bindings(await written({ backups: true })), ['BACKUPS']);
  const files = await Promise.all([{ sql: true, backups: true }, { sql: true }, { backups: true }].map(configurationWith));
  assert.equal(new Set(files).size, 3);
});

test('who starts the database hears that SQL is not there, or older than its sources', () => {
  assert.match(hintOfSql({ has: false, isOld: false }), /once \(about ten minutes\)/);
  assert.match(hintOfSql({ has: true, isOld: true }), /older than its sources: `npm run sql`/);
  assert.equal(hintOfSql({ has: true, isOld: false }), null);
});
