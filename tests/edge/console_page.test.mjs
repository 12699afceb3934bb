// Tests the console's files: their headers, the content security policy, and their sizes.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';

import { at } from '../../scripts/project.mjs';
import { tidemark } from './harness.mjs';

/** The maximum gzipped size of all scripts without the engine. */
const scriptBytesMax = 200_000;

/**
 * The maximum gzipped size of the files for the first screen: the document, the style sheet and the
 * first script.
 */
const firstBytesMax = 40_000;

const policy = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "worker-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

test('the console is served with its security policy, next to the API', async (t) => {
  const server = await tidemark(t);
  const page = await fetch(`${server.url}/`);
  assert.equal(page.status, 200);
  assert.match(page.headers.get('Content-Type'), /^text\/html/);
  assert.equal(page.headers.get('Content-Security-Policy'), policy);
  assert.equal(page.headers.get('X-Content-Type-Options'), 'nosniff');
  assert.equal(page.headers.get('Referrer-Policy'), 'no-referrer');
  const html = await page.text();
  assert.match(html, /<title>Tidemark<\/title>/);
  const files = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map((found) => found[1]);
  assert.deepEqual(new Set(files), new Set(['favicon.svg', 'style.css', 'main.js']));
  for (const file of [...files, 'results/worker.js', 'sample/weather.lp.gz', 'licences.txt']) {
    const response = await fetch(`${server.url}/${file}`);
    assert.equal(response.status, 200, file);
    await response.arrayBuffer();
  }
  const description = await fetch(`${server.url}/openapi.json`);
  assert.match(description.headers.get('Content-Type'), /^application\/json/);
  assert.equal((await description.json()).info.title, 'Tidemark');
  // A path of the API reaches the Worker even if a browser requests it as a page.
  const navigation = { headers: { 'Sec-Fetch-Mode': 'navigate', Accept: 'text/html' } };
  const query = await fetch(`${server.url}/query?q=SHOW+DATABASES`, navigation);
  assert.equal(query.status, 401);
  assert.match(query.headers.get('Content-Type'), /^application\/json/);
});

const packed = (file) => gzipSync(readFileSync(file), { level: 9 }).length;

function scripts(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === 'engine' ? [] : scripts(path);
    return entry.name.endsWith('.js') ? [path] : [];
  });
}

test('the console stays within its size limit', (t) => {
  const all = scripts(at('dist'));
  const bytes = all.reduce((sum, file) => sum + packed(file), 0);
  const first = ['index.html', 'style.css', 'main.js'].map((name) => packed(at('dist', name)));
  const firstBytes = first.reduce((sum, one) => sum + one, 0);
  t.diagnostic(
    `${bytes} bytes gzipped in ${all.length} scripts; ${firstBytes} before the first paint`,
  );
  for (const file of all) t.diagnostic(`${packed(file)} ${file.slice(at('dist').length)}`);
  assert.ok(bytes <= scriptBytesMax, `${bytes} bytes of scripts`);
  assert.ok(firstBytes <= firstBytesMax, `${firstBytes} bytes before the first paint`);
  // The editor and the chart are separate chunks that load on demand.
  const main = readFileSync(at('dist', 'main.js'), 'utf8');
  assert.doesNotMatch(main, /cm-content|u-over/);
  assert.ok(all.some((file) => readFileSync(file, 'utf8').includes('cm-content')));
});

test('the console loads nothing from other sites, and lists each of its packages', () => {
  const named = readFileSync(at('dist', 'licences.txt'), 'utf8');
  for (const name of ['uplot', '@codemirror/view', '@lezer/highlight'])
    assert.ok(named.includes(`\n${name}\n`), name);
  for (const file of [...scripts(at('dist')), at('dist', 'style.css'), at('dist', 'index.html')]) {
    const text = readFileSync(file, 'utf8');
    const outside = [
      ...text.matchAll(/(?:import\s*\(?|from|url\(|src=|href=)\s*["']?(https?:\/\/[^"')\s]+)/g),
    ];
    assert.deepEqual(
      outside.map((found) => found[1]),
      [],
      file,
    );
  }
});
