// Tests `tidemark import` with files in the format of `influx -import`, uncompressed and
// compressed. Includes imports that are interrupted and then continued.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';

import { command } from './commands.mjs';
import { databaseToken, listening, PlainWorkerd, temporaryFolder, tidemark } from './harness.mjs';

/** The file contains DDL, DML, two databases, comments, and a string with a line break. */
const points = 2_000;
const head = `# DDL
CREATE DATABASE pirates
CREATE DATABASE navy
CREATE RETENTION POLICY oneday ON pirates DURATION INF REPLICATION 1

# DML
# CONTEXT-DATABASE: pirates
# CONTEXT-RETENTION-POLICY: oneday
`;
const treasures = Array.from({ length: points }, (_, i) => `treasures,ship=s${i % 9} v=${i}i ${i}`);
const tail = `
# CONTEXT-DATABASE: navy
# CONTEXT-RETENTION-POLICY: autogen

log,a\\ b=c text="one
# two" 7
`;
const file = head + treasures.join('\n') + tail;

function load(url, path, onStart, more = [], secret) {
  return command(['import', '--url', url, '--path', path, '--batch-lines', '100', ...more], { onStart, secret });
}

/** Starts a proxy that calls `look` with the request after each response. */
function passOn(t, server, look) {
  const proxy = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray());
    const { authorization } = request.headers;
    const headers = { authorization };
    for (const name of ['content-type', 'content-encoding']) {
      if (request.headers[name]) headers[name] = request.headers[name];
    }
    const answer = await fetch(server.url + request.url, { method: 'POST', headers, body });
    const text = await answer.text();
    look(request.url, answer.status);
    response.writeHead(answer.status).end(text);
  });
  return listening(t, proxy);
}

test('a killed import is continued, plain and gzip', async (t) => {
  const server = await tidemark(t, {}, PlainWorkerd);
  const folder = temporaryFolder(t);
  for (const [name, bytes] of [['plain.txt', file], ['packed.txt.gz', gzipSync(file)]]) {
    const path = join(folder, name);
    writeFileSync(path, bytes);
    let writes = 0;
    let child;
    const url = await passOn(t, server, (target) => {
      if (!target.startsWith('/write')) return;
      writes += 1;
      if (writes === 8) child.kill('SIGKILL');
    });
    const killed = await load(url, path, (process) => (child = process));
    assert.equal(killed.code, null, killed.said);
    const { lines } = JSON.parse(readFileSync(`${path}.progress`, 'utf8'));
    assert.ok(lines >= 700 && lines < points, `${lines} lines`);

    const whole = await load(url, path);
    assert.equal(whole.code, 0, whole.said);
    assert.match(whole.said, new RegExp(`continuing after line ${lines}, 700 points`));
    const fileLines = file.split('\n').length - 1;
    const sums = `${points + 1} points written, 0 lines rejected`;
    assert.match(whole.said, new RegExp(`100 % read, ${fileLines} lines, ${sums}, \\d+ points a second, done`));
    // 20 batches of the first database and one of the other. One batch was sent twice.
    assert.equal(writes, 22);
    assert.ok(!existsSync(`${path}.progress`));

    const q = 'SELECT count(v), sum(v) FROM oneday.treasures';
    const sum = (points * (points - 1)) / 2;
    assert.deepEqual(await server.rows(q, { db: 'pirates', epoch: 's' }), [[0, points, sum]]);
    const text = await server.rows('SELECT "a b", text FROM log', { db: 'navy', epoch: 'ns' });
    assert.deepEqual(text, [[7, 'c', 'one\n# two']]);
    await server.query('DROP DATABASE pirates; DROP DATABASE navy');
  }
});

test('a file that changed after a killed import is imported from its first line', async (t) => {
  const server = await tidemark(t, {}, PlainWorkerd);
  const path = join(temporaryFolder(t), 'changed.lp');
  const text = (value) => Array.from({ length: 300 }, (_, at) => `m v=${value} ${at}\n`).join('');
  writeFileSync(path, text(1));
  let writes = 0;
  let child;
  const url = await passOn(t, server, (target) => {
    if (!target.startsWith('/write')) return;
    writes += 1;
    if (writes === 2) child.kill('SIGKILL');
  });
  const options = ['--database', 'c'];
  await load(url, path, (process) => (child = process), options);
  writeFileSync(path, text(2));
  const { code, said } = await load(url, path, undefined, options);
  assert.equal(code, 0, said);
  assert.match(said, /this import starts at the first line/);
  assert.deepEqual(await server.rows('SELECT sum(v) FROM m', { db: 'c', epoch: 's' }), [[0, 600]]);
});

test('--database replaces the database of the file, but not several databases', async (t) => {
  const server = await tidemark(t, {}, PlainWorkerd);
  const path = join(temporaryFolder(t), 'one.txt');
  const one = ['# DDL', 'CREATE DATABASE e', '# DML', '# CONTEXT-DATABASE: e', '# CONTEXT-RETENTION-POLICY: long', 'm v=1 1'];
  writeFileSync(path, one.join('\n'));
  const { code, said } = await load(server.url, path, undefined, ['--database', 'f', '--policy', 'p']);
  assert.equal(code, 0, said);
  assert.match(said, /^skipped, because --database is set: CREATE DATABASE e$/m);
  assert.match(said, /^the lines of database "e" are imported into "f"$/m);
  assert.deepEqual(await server.rows('SELECT sum(v) FROM p.m', { db: 'f', epoch: 's' }), [[0, 1]]);
  assert.deepEqual(await server.rows('SHOW DATABASES'), [['f']]);

  writeFileSync(path, [...one, '# CONTEXT-DATABASE: g', 'm v=2 2'].join('\n'));
  const mixed = await load(server.url, path, undefined, ['--database', 'f']);
  assert.equal(mixed.code, 1);
  assert.match(mixed.said, /line 7 and later lines belong to database "g", but the earlier lines, which are already imported, belong to database "e"/);
});

test('rejected lines are reported, and the import continues but fails at its end', async (t) => {
  const server = await tidemark(t, {}, PlainWorkerd);
  const path = join(temporaryFolder(t), 'bad.txt');
  const dml = ['# DDL', 'CREATE DATABASE d', '# DML', '# CONTEXT-DATABASE: d', 'm v=1 1', 'm v= 2'];
  writeFileSync(path, [...dml, 'm v=3 3'].join('\r\n'));
  const { code, said } = await load(server.url, path);
  assert.equal(code, 1);
  // Lines that the response does not list are only counted.
  assert.match(said, /^line 6 rejected: missing field value.*\n {2}m v= 2$/m);
  assert.match(said, /100 % read, 7 lines, 2 points written, 1 lines rejected/);
  assert.match(said, /^1 lines were rejected, see above$/m);
  assert.deepEqual(await server.rows('SELECT sum(v) FROM m', { db: 'd', epoch: 's' }), [[0, 4]]);
});

test('an export is compressed for clients that accept it, and can be imported', async (t) => {
  // Plain workerd compresses nothing.
  const server = await tidemark(t, { vars: { AUTO_CREATE_RETENTION: 'none' } });
  // The native host sends small responses uncompressed.
  const long = 'x'.repeat(2_000);
  await server.mustWrite(`m,k=\\ x v=1i,s="a \\"b\\"${long}",f=1.5,t=true 1700000000000000001`, { db: 'a' });
  const asking = { headers: { 'Accept-Encoding': 'gzip' } };
  const exported = await server.fetch('/api/v3/export?db=a', asking);
  const text = await exported.text();
  assert.equal(text, `m,k=\\ x f=1.5,s="a \\"b\\"${long}",t=true,v=1i 1700000000000000001\n`);
  assert.equal(exported.headers.get('Content-Encoding'), 'gzip');

  const path = join(temporaryFolder(t), 'a.lp');
  writeFileSync(path, text);
  const { code, said } = await load(server.url, path, undefined, ['--database', 'b']);
  assert.equal(code, 0, said);
  assert.match(said, /^created database "b", which keeps points permanently$/m);
  assert.equal(await (await server.fetch('/api/v3/export?db=b')).text(), text);
});

test('an export that fails is truncated and has no end mark', async (t) => {
  // The first measurement is larger than all buffers, because buffered data is lost when the server
  // aborts the response.
  const server = await tidemark(t, { vars: { POINTS_PER_QUERY_MAX: '15000' } }, PlainWorkerd);
  await server.query('CREATE DATABASE a');
  for (const [name, points] of [['fits', 10_000], ['more', 20_000]]) {
    const line = (_, i) => `${name} text="${'some text '.repeat(50)}" ${i}`;
    await server.mustWrite(Array.from({ length: points }, line).join('\n'), { db: 'a' });
  }
  const exported = await server.fetch('/api/v3/export?db=a');
  assert.equal(exported.status, 200);
  let text = '';
  await assert.rejects(async () => {
    for await (const piece of exported.body) text += Buffer.from(piece);
  });
  assert.match(text, /^fits text=/);
  assert.doesNotMatch(text, /^more/m);
});

test('an imported export returns the same results, for points of any age', async (t) => {
  // A database that a write creates would keep points for only three days.
  const server = await tidemark(t, {}, PlainWorkerd);
  await server.query('CREATE DATABASE station');
  await server.query('CREATE RETENTION POLICY long ON station DURATION INF REPLICATION 1');
  const lines = Array.from({ length: 3_000 }, (_, i) =>
    `air,city=${['Oslo', 'New\\ York', 'a\\,b\\=c'][i % 3]} t=${i / 8},n=${i}i,ok=${i % 2 === 0},s="é \\"${i}\\" \\\\ \n#" ${1_600_000_000 + i * 60}`);
  await server.mustWrite(lines.join('\n'), { db: 'station', precision: 's' });
  await server.mustWrite('old v=1 -1\nold v=-0,w=1e300 9223372036854775806', { db: 'station' });
  await server.mustWrite('rare v=1i 1', { db: 'station', rp: 'long' });
  const questions = [
    'SELECT * FROM /.*/',
    'SELECT count(t), sum(n), last(s) FROM air GROUP BY city',
    'SELECT mean(t) FROM air WHERE time >= 1600000000s AND time < 1600180000s GROUP BY time(1h), city fill(none)',
    'SHOW SERIES', 'SHOW FIELD KEYS', 'SHOW TAG VALUES WITH KEY = city',
    'SELECT * FROM long.rare',
  ];
  const answers = async () => {
    const all = [];
    for (const q of questions) all.push(await server.series(q, { db: 'station', epoch: 'ns' }));
    return all;
  };
  const before = await answers();
  assert.equal(before[0][0].values.length, 3_000);
  const folder = temporaryFolder(t);
  const paths = [];
  for (const rp of ['autogen', 'long']) {
    const exported = await server.fetch(`/api/v3/export?db=station&rp=${rp}`);
    paths.push(join(folder, `${rp}.lp`));
    const context = `# CONTEXT-DATABASE: station\n# CONTEXT-RETENTION-POLICY: ${rp}\n`;
    writeFileSync(paths.at(-1), context + (await exported.text()));
  }
  await server.query('DROP DATABASE station');
  const said = [];
  for (const path of paths) {
    const loaded = await load(server.url, path);
    assert.equal(loaded.code, 0, loaded.said);
    said.push(loaded.said);
  }
  assert.match(said[0], /^created database "station", which keeps points permanently$/m);
  assert.match(said[1], /^created retention policy "long" ON "station", which/m);
  assert.deepEqual(await answers(), before);
});

test('a warning precedes an import into a short retention policy, or with a token that cannot create databases', async (t) => {
  const server = await tidemark(t, {}, PlainWorkerd);
  const path = join(temporaryFolder(t), 'lines.lp');
  writeFileSync(path, 'm v=1 1\n');
  await server.query('CREATE DATABASE short WITH DURATION 1d');
  const into = (database, secret) => load(server.url, path, undefined, ['--database', database], secret);
  const old = await into('short');
  assert.equal(old.code, 1);
  assert.match(old.said, /^retention policy "autogen" ON "short" keeps points for 24h0m0s: the server rejects older lines, unless you first run `ALTER RETENTION POLICY "autogen" ON "short" DURATION INF`$/m);
  assert.match(old.said, /^line 1 rejected: /m);
  await server.query('CREATE DATABASE recent WITH PAST LIMIT 1d NAME other');
  const early = await into('recent');
  assert.equal(early.code, 1);
  assert.match(early.said, /^retention policy "other" ON "recent" limits the times of new points \(FUTURE LIMIT 0s, PAST LIMIT 24h0m0s\): the server rejects other lines, unless you first run `ALTER RETENTION POLICY "other" ON "recent" FUTURE LIMIT 0s PAST LIMIT 0s`$/m);
  assert.match(early.said, /^line 1 rejected: .*PAST LIMIT/m);

  const own = await into('absent', await databaseToken(server, 'absent'));
  assert.equal(own.code, 1);
  assert.match(own.said, /^database "absent" does not exist, and this token may not create it: run `CREATE DATABASE "absent"` with the admin token, then repeat this command$/m);
  assert.deepEqual(await server.rows('SHOW DATABASES'), [['short'], ['recent']]);
});

test('the command prints its help with --help and without arguments', async () => {
  const all = await command(['--help']);
  for (const name of ['query', 'import', 'export', 'backup', 'restore', 'verify', 'token']) {
    assert.match(all.output, new RegExp(`^  ${name} +\\w`, 'm'));
    const taught = await command([name, '--help']);
    assert.equal(taught.code, 0);
    assert.match(taught.output, new RegExp(`^usage: tidemark ${name} `, 'm'));
    assert.deepEqual(await command(['help', name]), taught);
    if (name === 'query') continue;
    const incomplete = name === 'export' ? 'Name the database with --database DB. Only --format parquet takes a FOLDER.\n' : taught.output;
    assert.deepEqual(await command([name]), { code: 1, output: '', said: incomplete });
  }
  const { code, said } = await command(['sreve']);
  assert.deepEqual([code, said.includes('Unknown command "sreve": use one of serve, ')], [1, true]);
  const option = await command(['import', '--prot', '1']);
  assert.deepEqual([option.code, option.said], [1, "Unknown option '--prot'. See tidemark import --help.\n"]);
});
