// Tests the unmodified Python clients for InfluxDB.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { clientTrials, firstSecond } from './client_trials.mjs';
import { PlainWorkerd, tidemark, token } from './harness.mjs';
import { hasPythonClients, order } from './python.mjs';

const version = /^\d+\.\d+\.\d+$/;
const rows = [0, 1, 2, 3].map((i) => [firstSecond + i, i]);

/**
 * Defines the tests of one client. `look` checks the results of additional functions, such as
 * queries and deletes.
 */
function trial(name, script, fixed, { gzips = [fixed.gzip ?? false], ...options }, look) {
  test(name, async (t) => {
    if (!(await hasPythonClients(t))) return;
    const client = (what) => order(script, { ...fixed, ...what });
    const more = {
      'what its users do besides': async (server, proxy, database) => {
        const { url } = server;
        const { error, ...seen } = await client({ action: 'tour', url, token, database });
        assert.equal(error, null);
        await look(seen, server, database);
      },
      'compresses what it is told to': async (server, proxy, database) => {
        const { url } = proxy;
        for (const gzip of gzips) {
          proxy.takeWrites();
          assert.equal((await client({ action: 'types', url, token, database, gzip })).error, null);
          const [{ path, headers }] = proxy.takeWrites();
          assert.equal(headers['content-encoding'] === 'gzip', gzip);
          assert.equal(path.split('?')[0], options.path);
        }
      },
    };
    await clientTrials(t, client, { ...options, more });
  });
}

// The trials mostly wait for clients that pause between their attempts.
describe('Python clients', { concurrency: 2 }, () => {
  const gzips = [false, true];
  trial('influxdb-client for Python', 'v2', { gzip: true }, { gzips, path: '/api/v2/write' },
    async (seen, server, database) => {
      assert.equal(seen.ping, true);
      assert.match(seen.version, version);
      assert.equal(seen.health, 'pass');
      assert.equal(seen.ready, 'ready');
      assert.deepEqual(seen.orgs, ['an org']);
      assert.deepEqual([seen.same, seen.seconds, seen.paged, seen.left], [true, [172_800, 172_800], true, true]);
      const left = await server.rows('SELECT v FROM gone', { db: database, epoch: 's' });
      assert.deepEqual(left.map(([, v]) => v), [0, 1, 3, 5, 7, 8, 9]);
      assert.equal(seen.or, 400);
    });

  trial('influxdb for Python', 'v1', { gzip: true }, { gzips, path: '/write' }, (seen) => {
    assert.match(seen.version, version);
    assert.deepEqual(seen.policies.map(({ name }) => name), ['autogen', 'long']);
    assert.equal(seen.policies[1].default, true);
    assert.deepEqual(seen.rows, rows.slice(2).map((row) => [...row, 'eu']));
    assert.deepEqual(seen.bound, [1]);
    assert.deepEqual(seen.chunks, [0, 1, 2, 3]);
    const keys = ['load,host=h0,region=eu', 'load,host=h1,region=eu', 'load,host=h2,region=eu'];
    assert.deepEqual(seen.series, keys);
    assert.deepEqual(seen.found, [{ name: 'trials' }, { name: 'made' }]);
    assert.deepEqual(seen.left, [{ name: 'trials' }]);
  });

  trial('aioinflux', 'aio', {}, { path: '/write' }, (seen) => {
    assert.match(seen.version, version);
    assert.deepEqual(seen.rows, rows);
    assert.deepEqual(seen.chunks, rows);
    assert.deepEqual(seen.measurements, [['load']]);
  });

  const v3Paths = [['/api/v2/write', true, true], ['/api/v3/write_lp', false, false]];
  for (const [path, v2, gzip] of v3Paths) {
    trial(`influxdb3-python on ${path}`, 'v3', { v2, gzip }, { path }, (seen) => {
      assert.match(seen.version, version);
    });
  }
});

test('DataFrameClient writes strings that it does not escape, with the same results as on 1.x', async (t) => {
  if (!(await hasPythonClients(t))) return;
  const server = await tidemark(t, {}, PlainWorkerd);
  await server.query('CREATE DATABASE frames');
  // The results of InfluxDB 1.6.7 for the same requests: the stored points and the rejections.
  const kept = [
    'with "quotes"', 'a"b"c', '""', 'plain', '', 'a, b c', 'x=1, y=2', 'back\\slash',
    'line\nbreak', 'two\n"lines"', 'NaN', 'tab\t"x"', 'ünïcode "ß"',
  ];
  const refused = [['end\\', /unbalanced/], ['5" pipe', /inside a string/],
    ['he said "no, never"', /inside a string/]];
  const strings = [...kept, ...refused.map(([text]) => text)];
  const what = { action: 'frames', url: server.url, token, database: 'frames', strings };
  const { error, found, absent } = await order('frames', what);
  assert.equal(error, null);
  assert.deepEqual(found.slice(0, kept.length), kept.map((text) => [text]));
  refused.forEach(([, says], i) => assert.match(found[kept.length + i], says));
  assert.deepEqual(absent, [
    ['a "b" c', 1.5, 'x y'], [null, 2, 'x,y'], [null, 2.5, 'x=y'], ['NaN', null, 'x'],
  ]);
});
