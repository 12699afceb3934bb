// Tests `tidemark backup`, `verify` and `restore`, including tokens, users and schedules. Follows
// the steps of docs/OPERATING.md: load, back up, delete, restore, upgrade. The results must remain
// the same.

import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { command } from './commands.mjs';
import { isNative, Tidemark, tidemark } from './harness.mjs';
import { released } from './mixture.mjs';

const before = '0.1.0';

/**
 * On workerd, starts the recorded release of the Worker. `upgrade` replaces it with the current
 * build.
 */
class Older extends Tidemark {
  async start() {
    if (!isNative && this.options.script === undefined) {
      const folder = join(this.folder, 'released');
      mkdirSync(folder);
      const { script, module } = released(before);
      writeFileSync(join(folder, 'index.js'), script);
      writeFileSync(join(folder, 'index_bg.wasm'), module);
      this.options.script = join(folder, 'index.js');
    }
    await super.start();
  }

  async upgrade() {
    await this.stop();
    this.options.script = null;
    await this.start();
  }
}

async function takeBackups(server, stopped) {
  const place = isNative ? ['data', 'backups'] : ['state', 'v3', 'r2'];
  await server.stop();
  cpSync(join(stopped.folder, ...place), join(server.folder, ...place), { recursive: true });
  await server.start();
}

const asked = [
  'SELECT count(f), sum(i) FROM m GROUP BY host',
  'SELECT * FROM m WHERE time < 1700000000000000050',
  'SHOW SERIES',
  'SHOW FIELD KEYS',
  'SHOW RETENTION POLICIES',
];

const answers = (server, db) => Promise.all(asked.map((q) => server.series(q, { db, epoch: 'ns' })));

async function load(server) {
  const made = { method: 'POST', body: '{"db":"a","shards":2}' };
  assert.equal((await server.fetch('/api/v3/configure/database', made)).status, 200);
  for (const q of [
    'CREATE RETENTION POLICY year ON a DURATION 8760h REPLICATION 1',
    'CREATE CONTINUOUS QUERY c ON a BEGIN SELECT mean(f) INTO hourly FROM m GROUP BY time(1h) END',
    "CREATE USER ann WITH PASSWORD 'long enough'",
    'GRANT READ ON a TO ann',
  ]) {
    await server.query(q);
  }
  const lines = Array.from({ length: 20_000 }, (_, n) => `m,host=h${n % 7} f=${n}.25,i=${n}i ${1_700_000_000_000_000_000n + BigInt(n)}`);
  await server.mustWrite(lines.join('\n'), { db: 'a' });
  await server.query("DELETE FROM m WHERE host = 'h3'", { db: 'a' });
}

test('a database is backed up, deleted and restored by the program', async (t) => {
  const server = await tidemark(t, { backups: true }, Older);
  const run = async (of, words, code = 0) => {
    const done = await command(words, { url: of.url });
    assert.equal(done.code, code, `${words.join(' ')}: ${done.said}${done.output}`);
    return { ...done, output: done.output.trim() };
  };
  await load(server);
  const original = await answers(server, 'a');

  const { output: id, said } = await run(server, ['backup', '--database', 'a']);
  assert.match(id, /^a\.\d+$/);
  assert.match(said, /The backup is complete: 4 shards; \d+ objects/);
  const listed = await run(server, ['backup', '--database', 'a', '--list']);
  assert.match(listed.output, new RegExp(`^${id} .* whole$`, 'm'));
  assert.match((await run(server, ['verify', id])).said, new RegExp(`${id} is undamaged`));
  assert.match((await run(server, ['restore', id], 1)).said, /409: the database is not empty/);
  const list = join(server.folder, 'deployment.jsonl');
  assert.match((await run(server, ['export', '--access', list])).said, /user 1/);
  assert.equal(statSync(list).mode & 0o777, 0o600);
  assert.ok(!readFileSync(list, 'utf8').includes('long enough'));

  await server.query('DROP DATABASE a');
  await run(server, ['restore', id]);
  assert.deepEqual(await answers(server, 'a'), original);
  // Starts another release on the same data, as in an upgrade.
  await server.upgrade();
  assert.deepEqual(await answers(server, 'a'), original);
  await run(server, ['restore', id, '--database', 'copy']);
  assert.deepEqual(await answers(server, 'copy'), original);
  assert.match((await run(server, ['restore', id, '--database', 'copy'])).said, /already contains the restore of a\./);

  const policies = await server.series('SHOW RETENTION POLICIES ON a', {});
  await server.stop();
  const second = await tidemark(t, { backups: true });
  await takeBackups(second, server);
  await second.query("CREATE USER other WITH PASSWORD 'of somebody'");
  await run(second, ['restore', id]);
  assert.deepEqual(await answers(second, 'a'), original);
  assert.match((await run(second, ['import', '--access', list])).said, /1 created, 0 received permissions/);
  const asUser = { headers: { Authorization: 'Token ann:long enough' } };
  const counted = await second.fetch(`/query?db=a&q=${encodeURIComponent('SELECT count(f) FROM m')}`, asUser);
  assert.equal(counted.status, 200, await counted.text());
  assert.deepEqual(await second.series('SHOW RETENTION POLICIES ON a', {}), policies);
  assert.match(JSON.stringify(await second.query('SHOW CONTINUOUS QUERIES')), /mean\(f\)/);
  await second.query('ALTER RETENTION POLICY year ON a DURATION INF');
  const changed = await second.series('SHOW RETENTION POLICIES ON a', {});
  const { output: reported } = await run(second, ['import', '--access', list], 1);
  assert.match(reported, /^policy year: .* the existing policy stays unchanged: to change it, run `ALTER /m);
  assert.deepEqual(await second.series('SHOW RETENTION POLICIES ON a', {}), changed);
  // An interrupted import may have created the database already. The repeated import still changes
  // the policies of this database.
  await second.query('CREATE DATABASE empty');
  const day = {
    kind: 'policy', duration: '24h0m0s', shard_duration: '1h0m0s', replication: 1, default: true,
    future_limit: '1m1.5s', past_limit: '0s',
  };
  const records = [['empty', 'autogen'], ['a', 'day'], ['none', 'day']].map(([database, name]) => ({ ...day, database, name }));
  const part = join(second.folder, 'part.jsonl');
  writeFileSync(part, records.map((record) => JSON.stringify(record)).join('\n'));
  const { output: rejected } = await run(second, ['import', '--access', part], 1);
  assert.match(rejected, /^policy day: the policy was created, but the default policy stays unchanged: .*`ALTER .* DEFAULT`$/m);
  assert.match(rejected, /^policy day: database not found: none$/m);
  assert.equal(rejected.split('\n').length, 2, rejected);
  assert.match(JSON.stringify(await second.series('SHOW RETENTION POLICIES ON empty', {})), /"24h0m0s","1h0m0s",1,"1m1.5s","0s"/);

  // A new schedule starts a backup immediately. The program deletes old backups.
  await run(second, ['backup', '--database', 'a', '--schedule', '1h', '--keep', '2']);
  for (let waits = 0; ; waits += 1) {
    const { said: state } = await run(second, ['backup', '--database', 'a', '--list']);
    if (/The last complete backup was made/.test(state)) break;
    assert.ok(waits < 60, state);
    await sleep(500);
  }
  await run(second, ['backup', '--database', 'a', '--schedule', 'none']);
  const rest = await run(second, ['backup', '--database', 'a', '--list']);
  assert.match(rest.said, /has no schedule/);
  assert.equal(rest.output.split('\n').length, 2 + 2, rest.output);
  await run(second, ['backup', '--delete', id]);
  assert.doesNotMatch((await run(second, ['backup', '--database', 'a', '--list'])).output, new RegExp(id));
  assert.match((await run(second, ['verify', id], 1)).said, /404: backup .* does not exist/);
});
