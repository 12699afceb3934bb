// Tests the documentation site: its links, the sources of its generated pages, and its pages in a
// browser.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';
import { test } from 'node:test';

import { consolePage, staticFolder, staticPage } from '../../scripts/console.mjs';
import { at } from '../../scripts/project.mjs';
import { changeLinks, collect } from '../../docs/site/pages.mjs';
import { documentationSite } from '../../docs/site/site.mjs';
import { hasChromium, launched } from './chromium.mjs';
import { listening } from './harness.mjs';

test('links are converted, except in code', () => {
  const text = '[a](b.md) `[c](d.md)` [`e`](f.md#g) ![h](i.png) [j](https://k)\n```\n[l](m.md)\n```\n[n](o.rs)';
  const seen = [];
  const changed = changeLinks(text, (target, line) => {
    seen.push([target, line]);
    return target.endsWith('.rs') ? null : `/${target}`;
  });
  assert.deepEqual(seen, [['b.md', 1], ['f.md#g', 1], ['i.png', 1], ['o.rs', 5]]);
  assert.equal(changed, '[a](/b.md) `[c](d.md)` [`e`](/f.md#g) ![h](/i.png) [j](https://k)\n```\n[l](m.md)\n```\nn');
});

test('pages outside of docs are collected with the examples, and a dead link is an error', () => {
  const { pages, files } = collect(['docs/start/telegraf.md']);
  assert.ok(pages.has('benches/RESULTS.md') && files.has('examples/telegraf/telegraf.conf'));
  assert.match(pages.get('docs/start/telegraf.md'), /\]\(\/repository\/examples\/telegraf\/telegraf\.conf\)/);
  const dead = () => collect(['docs/page.md'], () => '# A page\n\n[absent](absent.md)\n');
  assert.throws(dead, /docs\/page\.md:3: absent\.md/);
});

test('every symptom on the troubleshooting page is the text of an error', async () => {
  const [page, errors] = await Promise.all(['troubleshooting', 'reference/errors'].map((name) => readFile(at('docs', `${name}.md`), 'utf8')));
  const symptoms = [...page.matchAll(/^\| ([^|]*) \|/gm)].flatMap(([, cell]) => [...cell.matchAll(/`([^`]+)`/g)].map(([, text]) => text));
  const texts = symptoms.filter((text) => !text.startsWith('/'));
  assert.ok(texts.length > 5, texts.join());
  for (const text of texts) assert.ok(errors.includes(text), text);
});

const types = { '.css': 'text/css', '.html': 'text/html', '.js': 'text/javascript', '.json': 'application/json', '.svg': 'image/svg+xml' };

/** Uses the content security policies in the folder's `_headers`. */
async function hostWithPolicies(t, folder) {
  const rules = await readFile(join(folder, '_headers'), 'utf8');
  const [general, ofSite] = [...rules.matchAll(/^ {2}Content-Security-Policy: (.*)$/gm)].map(([, policy]) => policy);
  const server = createServer(async ({ url }, response) => {
    const path = new URL(url, 'http://host').pathname;
    try {
      const bytes = await readFile(join(folder, path.endsWith('/') ? `${path}index.html` : path));
      response.setHeader('Content-Type', types[extname(path) || '.html'] ?? 'application/octet-stream');
      response.setHeader('Content-Security-Policy', path.startsWith('/docs/') ? ofSite : general);
      response.end(bytes);
    } catch {
      response.statusCode = 404;
      response.end();
    }
  });
  return listening(t, server);
}

test('the console links to the site, which has a search and complies with its policy', async (t) => {
  if (!hasChromium(t)) return;
  await consolePage();
  await documentationSite();
  await staticPage();
  const url = await hostWithPolicies(t, staticFolder);
  const page = await (await launched(t)).newPage({ viewport: { width: 1360, height: 860 } });
  const problems = [];
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('console', (said) => said.type() === 'error' && problems.push(said.text()));
  page.on('response', (response) => response.ok() || problems.push(response.url()));
  page.on('request', (request) => request.url().startsWith(url) || problems.push(request.url()));
  await page.goto(`${url}/`);
  await page.getByRole('link', { name: 'Documentation' }).click();
  await page.getByRole('heading', { name: 'Documentation', level: 1 }).waitFor();
  await page.getByRole('link', { name: 'Retention and downsampling' }).first().click();
  await page.getByRole('heading', { name: 'Retention and downsampling', level: 1 }).waitFor();
  await page.getByRole('button', { name: /search/i }).first().click();
  await page.getByRole('searchbox').fill('unbalanced quotes');
  await page.locator('.result').first().click();
  await page.waitForURL(/\/docs\/reference\/errors\.html#line-unbalanced-quotes$/);
  assert.deepEqual(problems, []);
});
