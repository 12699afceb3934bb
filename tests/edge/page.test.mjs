// The page at /: served with its policy, and its script against a real server.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

import { curlLines, rowsOf, runQuery } from '../../www/query.js';
import { tidemark, token } from './harness.mjs';

test('the page and its files are served, and run nothing from elsewhere', async (t) => {
  const server = await tidemark(t);
  const page = await fetch(`${server.url}/`);
  assert.equal(page.status, 200);
  assert.match(page.headers.get('Content-Type'), /^text\/html/);
  const policy = page.headers.get('Content-Security-Policy');
  assert.match(policy, /default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'/);
  const html = await page.text();
  assert.match(html, /<title>Tidemark<\/title>/);
  // Even without its script the page must not send a token in a URL.
  assert.match(html, /<form id="query" method="post">/);
  const files = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map((found) => found[1]);
  assert.deepEqual(files, ['/style.css', '/page.js']);
  for (const file of [...files, '/query.js']) {
    const response = await fetch(`${server.url}${file}`);
    assert.equal(response.status, 200, file);
    await response.text();
  }
  const description = await fetch(`${server.url}/openapi.json`);
  assert.match(description.headers.get('Content-Type'), /^application\/json/);
  assert.equal((await description.json()).info.title, 'Tidemark');
  // The API's paths are never answered by a file.
  const navigation = { headers: { 'Sec-Fetch-Mode': 'navigate', Accept: 'text/html' } };
  const query = await fetch(`${server.url}/query?q=SHOW+DATABASES`, navigation);
  assert.equal(query.status, 401);
  assert.match(query.headers.get('Content-Type'), /^application\/json/);
});

test('the three curl lines of the page work when pasted', async (t) => {
  const server = await tidemark(t);
  const outputs = curlLines(server.url).map((line) => {
    const { stdout } = spawnSync('sh', ['-c', line.replace('TOKEN', token)], { encoding: 'utf8' });
    return stdout;
  });
  assert.deepEqual(JSON.parse(outputs[0]), { results: [{ statement_id: 0 }] });
  assert.equal(outputs[1], '');
  const [series] = JSON.parse(outputs[2]).results[0].series;
  assert.deepEqual([series.name, series.columns], ['weather', ['time', 'city', 'temperature']]);
  assert.deepEqual(series.values[0].slice(1), ['Oslo', 12.5]);
});

test("the page's query box shows the table or the error", async (t) => {
  const server = await tidemark(t);
  const here = (path, init) => fetch(`${server.url}${path}`, init);
  const ask = (q, database, secret = token) => runQuery(here, { token: secret, database, q });
  assert.deepEqual(await ask('CREATE DATABASE demo', ''), { tables: [], errors: [] });
  await server.write('m,host=a n=9007199254740993i,s="<b>" 1', { db: 'demo' });
  assert.deepEqual(await ask('SELECT n, s FROM m GROUP BY host', 'demo'), {
    tables: [
      {
        title: 'm, host=a',
        columns: ['time', 'n', 's'],
        rows: [['1970-01-01T00:00:00.000000001Z', '9007199254740993', '<b>']],
      },
    ],
    errors: [],
  });
  const missing = await ask('SELECT n FROM m', 'nowhere');
  assert.deepEqual(missing, { tables: [], errors: ['database not found: nowhere'] });
  const refused = await ask('SHOW DATABASES', '', 'wrong');
  assert.equal(refused.tables.length, 0);
  assert.match(refused.errors.join(), /unauthorized/);
});

test('replies that are no results are shown as they are', async () => {
  assert.deepEqual(rowsOf('<html>', 502), {
    tables: [],
    errors: ['The server answered 502: <html>'],
  });
  const nobody = () => Promise.reject(new Error('no route'));
  assert.deepEqual(await runQuery(nobody, { token: '', database: '', q: '' }), {
    tables: [],
    errors: ['The server could not be reached: no route'],
  });
});
