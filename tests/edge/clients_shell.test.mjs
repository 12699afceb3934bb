// The 1.x shell as its users run it.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';

import { faultProxy } from './fault_proxy.mjs';
import { has, tidemark, token } from './harness.mjs';

const login = (url, secret = token) => {
  const { hostname, port } = new URL(url);
  return ['-host', hostname, '-port', port, '-username', 'any', '-password', secret];
};

test('the 1.x shell connects, creates, inserts and selects', async (t) => {
  if (!has(t, 'influx', ['-version'])) return;
  const server = await tidemark(t);
  const shell = (execute, ...more) => {
    const args = [...login(server.url), '-execute', execute, ...more];
    const result = spawnSync('influx', args, { encoding: 'utf8' });
    assert.equal(result.status, 0, result.stderr + result.stdout);
    return result.stdout;
  };
  assert.equal(shell('CREATE DATABASE shop'), '');
  assert.match(shell('SHOW DATABASES'), /^name: databases\nname\n----\nshop\n/);
  shell('INSERT tills,shop=a takings=12.5,open=true 1000', '-database', 'shop');
  shell('INSERT tills,shop=b takings=3,open=false 2000', '-database', 'shop');
  const table = shell('SELECT * FROM tills', '-database', 'shop');
  assert.equal(
    table,
    'name: tills\ntime open  shop takings\n---- ----  ---- -------\n' +
      '1000 true  a    12.5\n2000 false b    3\n',
  );
  const csv = shell('SELECT sum(takings) FROM tills', '-database', 'shop', '-format', 'csv');
  assert.equal(csv, 'name,time,sum\ntills,0,15.5\n');
  const json = shell('SHOW TAG VALUES WITH KEY = shop', '-database', 'shop', '-format', 'json');
  assert.deepEqual(JSON.parse(json).results[0].series[0].values, [['shop', 'a'], ['shop', 'b']]);
  const rfc3339 = shell('SELECT takings FROM tills LIMIT 1', '-database', 'shop', '-precision', 'rfc3339');
  assert.match(rfc3339, /1970-01-01T00:00:00\.000001Z 12\.5/);
});
