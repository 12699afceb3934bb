// Builds the documentation site from docs/ and the pages to which docs/ links. A dead link is an
// error.

import { createHash } from 'node:crypto';
import {
  appendFileSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, extname, join } from 'node:path';

import { step } from '../../scripts/freshness.mjs';
import { must } from '../../scripts/processes.mjs';
import { at, npm, UserError } from '../../scripts/project.mjs';
import { collect, placeOf } from './pages.mjs';
import { sidebar } from './sidebar.mjs';

/** The working folder contains the installed packages, the collected pages, and the built site. */
const buildFolder = at('.cache', 'site');
export const built = join(buildFolder, 'built');

export const siteName = 'docs';

/** Skips the folder's assets. */
function pagesIn(folder) {
  return readdirSync(at(folder), { recursive: true })
    .map((name) => `${folder}/${name}`)
    .filter((path) => path.endsWith('.md'))
    .sort();
}

/** Installs VitePress. It is not one of the database's packages, so it has its own lock file. */
async function packages() {
  const files = ['package.json', 'package-lock.json'];
  // npm writes this file after it has installed the packages.
  const outputs = [join(buildFolder, 'node_modules', '.package-lock.json')];
  await step('The packages of the documentation site', { outputs, inputs: ['docs/site/package-lock.json'] }, async () => {
    mkdirSync(buildFolder, { recursive: true });
    for (const name of files) copyFileSync(at('docs', 'site', name), join(buildFolder, name));
    const [command, first] = npm();
    const args = [...first, 'ci', '--prefix', buildFolder, '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
    await must('Installing the packages of the documentation site', command, args);
  });
}

function writePages({ pages, files }) {
  const target = join(buildFolder, 'pages');
  rmSync(target, { recursive: true, force: true });
  const write = (path, put) => {
    mkdirSync(dirname(join(target, path)), { recursive: true });
    put(join(target, path));
  };
  for (const [path, text] of pages) {
    // The syntax highlighter does not support InfluxQL.
    const highlighted = text.replaceAll('\n```influxql\n', '\n```sql\n');
    write(placeOf(path), (file) => writeFileSync(file, highlighted));
  }
  for (const path of files) write(`public/${placeOf(path)}`, (file) => copyFileSync(at(path), file));
  write('public/favicon.svg', (file) => copyFileSync(at('www', 'favicon.svg'), file));
  mkdirSync(join(buildFolder, '.vitepress', 'theme'), { recursive: true });
  copyFileSync(at('docs', 'site', 'theme.js'), join(buildFolder, '.vitepress', 'theme', 'index.js'));
  // Without this file, esbuild would read the repository's tsconfig.json.
  writeFileSync(join(buildFolder, 'tsconfig.json'), '{}\n');
  for (const name of ['config.mjs', 'sidebar.mjs']) copyFileSync(at('docs', 'site', name), join(buildFolder, '.vitepress', name));
}

/** Checks that the navigation lists every page of docs/ and no other page. */
function checkNavigation(pages) {
  const listed = sidebar.flatMap(({ items }) => items).flatMap(({ page, items }) => (items ? items.map((one) => one.page) : [page]));
  const known = new Set([...pages.keys()].map(placeOf));
  const faults = [
    ...listed.filter((page) => !known.has(page)).map((page) => `${page} is listed and does not exist`),
    ...[...known].filter((page) => !page.startsWith('repository/') && !listed.includes(page)).map((page) => `${page} is not listed`),
  ];
  if (faults.length > 0) throw new UserError(`docs/site/sidebar.mjs:\n${faults.join('\n')}`);
}

/** The licences of these packages require that the built site contains their text. */
const bundled = ['vitepress', 'vue', '@vueuse/core', '@vueuse/integrations', '@vueuse/shared', 'focus-trap', 'mark.js', 'minisearch', 'tabbable'];

function writeLicences() {
  const texts = bundled.map((name) => {
    const folder = join(buildFolder, 'node_modules', name);
    const file = readdirSync(folder).find((one) => /^licen[cs]e/i.test(one));
    if (file === undefined) throw new Error(`${name} has no licence`);
    return `${name}\n\n${readFileSync(join(folder, file), 'utf8').trim()}\n`;
  });
  writeFileSync(join(built, 'licences.txt'), texts.join(`\n${'-'.repeat(80)}\n\n`));
}

export async function documentationSite() {
  await packages();
  const contents = collect(pagesIn('docs'));
  checkNavigation(contents.pages);
  const base = process.env.DOCS_BASE ?? '';
  // The built site contains the path at which it is published.
  const published = join(buildFolder, `published-at-${encodeURIComponent(base)}`);
  const inputs = ['docs', 'docs/site', 'www/favicon.svg', ...contents.pages.keys(), ...contents.files];
  await step('The documentation site', { inputs, outputs: [published, join(built, 'index.html')] }, async () => {
    for (const name of readdirSync(buildFolder)) if (name.startsWith('published-at-')) rmSync(join(buildFolder, name));
    writePages(contents);
    const program = join(buildFolder, 'node_modules', 'vitepress', 'bin', 'vitepress.js');
    // Without this list, VitePress would treat a link to such a file as a link to a page.
    const endings = [...new Set([...contents.files].map((path) => extname(path).slice(1)))].join(',');
    const env = { VITE_EXTRA_EXTENSIONS: endings };
    await must('Building the documentation site', process.execPath, [program, 'build', buildFolder], { env });
    writeLicences();
    writeFileSync(published, '');
  });
}

/** Returns the hashes of all inline scripts, in the format of a content security policy. */
function inlineScripts() {
  const pages = readdirSync(built, { recursive: true }).map(String).filter((name) => name.endsWith('.html'));
  const scripts = pages.flatMap((name) => {
    const text = readFileSync(join(built, name), 'utf8');
    return [...text.matchAll(/<script(?: id="[^"]*")?>(.*?)<\/script>/gs)].map(([, script]) => script);
  });
  return [...new Set(scripts)].map((script) => `'sha256-${createHash('sha256').update(script).digest('base64')}'`);
}

/** Replaces `from`, which the text must contain exactly once. */
function replaceOnce(text, from, to) {
  if (text.split(from).length !== 2) throw new Error(`not once: ${from}`);
  return text.replace(from, to);
}

/** Adds a link to the console, and a content security policy for the site's scripts. */
export function addSite(folder) {
  if (!existsSync(join(built, 'index.html'))) return;
  cpSync(built, join(folder, siteName), { recursive: true });
  const index = join(folder, 'index.html');
  const session = '<div id="session"></div>';
  const link = `<a class="docs" href="${siteName}/index.html">Documentation</a>`;
  writeFileSync(index, replaceOnce(readFileSync(index, 'utf8'), session, `${link}\n      ${session}`));
  const policy = [
    "default-src 'none'",
    `script-src 'self' ${inlineScripts().join(' ')}`,
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ];
  const rule = `\n/${siteName}/*\n  ! Content-Security-Policy\n  Content-Security-Policy: ${policy.join('; ')}\n`;
  appendFileSync(join(folder, '_headers'), rule);
}
