// Tests the native program's commands query, import, export and token.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';

import { command } from './commands.mjs';
import { PlainWorkerd, tidemark, token } from './harness.mjs';

test('data is imported and exported, and survives a restart', async (t) => {
  const server = await tidemark(t, {}, PlainWorkerd);
  const run = async (words, input = '', secret = token) => {
    const done = await command(words, { url: server.url, secret, input });
    assert.equal(done.code, 0, `${words}: ${done.output}${done.said}`);
    return done.output;
  };
  await run(['query', 'CREATE DATABASE demo']);
  const lines = 'weather,city=Oslo temperature=12.5,n=9007199254740993i 1000000001\nweather,city=Rome temperature=19.25,note="a\nb" 2000000000\n';
  await run(['import', '--database', 'demo', '-'], lines);
  const query = ['query', '--database', 'demo', 'SELECT * FROM weather; SHOW TAG KEYS'];
  const table = `weather
time                            city                 n  note  temperature
------------------------------  ----  ----------------  ----  -----------
1970-01-01T00:00:01.000000001Z  Oslo  9007199254740993               12.5
1970-01-01T00:00:02Z            Rome                    a\\nb        19.25

weather
tagKey
------
city
`;
  assert.equal(await run(query), table);
  assert.equal(await run(['query', '--database', 'demo'], 'SELECT * FROM weather; SHOW TAG KEYS'), table);
  const csv = ['query', '--database', 'demo', '--format', 'csv', '--epoch', 's', 'SELECT temperature FROM weather'];
  assert.equal(await run(csv), 'name,tags,time,temperature\nweather,,1,12.5\nweather,,2,19.25\n');
  const failed = await command(['query', 'SELECT'], { url: server.url });
  assert.equal(failed.code, 1);
  assert.match(failed.said, /^The server returned 400: error parsing query: found EOF/);

  const out = join(server.folder, 'demo.lp.gz');
  await run(['export', '--database', 'demo', '--out', out]);
  assert.match(gunzipSync(readFileSync(out)).toString(), /^# DML\n# CONTEXT-DATABASE: demo\nweather,/);
  assert.ok(!existsSync(`${out}.part`));
  await run(['query', 'DROP DATABASE demo']);
  await run(['import', out]);
  assert.equal(await run(query), table);

  const made = (await run(['token', 'create', 'sensors', '--database', 'demo', '--write', '--expires', '30d'])).trim();
  await run(['import', '--database', 'demo', '-'], 'weather,city=Bern temperature=3 3000000000\n', made);
  const reading = await command(query, { url: server.url, secret: made });
  assert.equal(reading.code, 1, 'it may only write');
  assert.match(await run(['token', 'list']), /^sensors +write demo +20/m);
  await run(['token', 'revoke', 'sensors']);
  assert.doesNotMatch(await run(['token', 'list']), /^sensors/m);

  const before = await run(query);
  assert.match(before, /Bern/);
  await server.stop();
  await server.start();
  assert.equal(await run(query), before);
});
