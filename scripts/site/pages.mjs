// Collects the pages of the documentation site: all pages in docs/, and every page and file of the
// repository that they link to. Links are rewritten from the repository's paths to the site's.

import { existsSync, readFileSync, statSync } from 'node:fs';
import { posix } from 'node:path';

import { at, Sentence } from '../project.mjs';

/** The folder of the site for pages from outside of docs/. */
const outside = 'repository';

/** The first page of the site. It also replaces the repository's README. */
const home = 'docs/README.md';

/** Folders whose files the site offers as downloads. Links to other files become plain text. */
const offered = ['examples/', 'docs/'];

/** Returns the site's path of a file in the repository, without a leading slash. */
export function placeOf(path) {
  if (path === home) return 'index.md';
  return path.startsWith('docs/') ? path.slice('docs/'.length) : `${outside}/${path}`;
}

/**
 * Calls `change(target, line)` for each link of a Markdown text, and returns the text with the
 * returned targets. A link whose target becomes null keeps only its text.
 */
export function changeLinks(text, change) {
  let isFenced = false;
  const lines = text.split('\n').map((line, index) => {
    if (line.trimStart().startsWith('```')) {
      isFenced = !isFenced;
      return line;
    }
    if (isFenced) return line;
    // Code in backticks contains no links, but the text of a link may be code.
    return line.replace(/(!?)\[((?:`[^`]*`|[^\][`])*)\]\(([^)\s]+)\)|`[^`]*`/g, (whole, image, words, target) => {
      if (target === undefined || /^[a-z]+:/.test(target)) return whole;
      const changed = change(target, index + 1);
      return changed === null ? words : `${image}[${words}](${changed})`;
    });
  });
  return lines.join('\n');
}

/** Returns whether the path is a page, a file to download, or neither. */
function kindOf(path) {
  if (!existsSync(at(path))) return 'absent';
  if (statSync(at(path)).isDirectory()) return 'folder';
  if (path.endsWith('.md')) return 'page';
  return offered.some((folder) => path.startsWith(folder)) ? 'file' : 'source';
}

/**
 * Returns the site's contents, starting with the pages `first`: `pages` maps each page's path in the
 * repository to its text with the site's links, `files` contains the files to download. `read` returns
 * the text of a page.
 */
export function collect(first, read = (path) => readFileSync(at(path), 'utf8')) {
  const pages = new Map();
  const files = new Set();
  const faults = [];
  const pending = [...first];
  while (pending.length > 0) {
    const path = pending.pop();
    if (pages.has(path)) continue;
    const linkOf = (target, line) => {
      const [name, anchor] = target.split('#');
      const named = name === '' ? path : posix.normalize(posix.join(posix.dirname(path), name));
      const wanted = named === 'README.md' ? home : named;
      const kind = kindOf(wanted);
      if (kind === 'absent') faults.push(`${path}:${line}: ${target}`);
      if (kind === 'page') {
        pending.push(wanted);
        return `/${placeOf(wanted)}${anchor === undefined ? '' : `#${anchor}`}`;
      }
      if (kind !== 'file') return null;
      files.add(wanted);
      return `/${placeOf(wanted)}`;
    };
    pages.set(path, changeLinks(read(path), linkOf));
  }
  if (faults.length > 0) throw new Sentence(`These links lead nowhere:\n${faults.join('\n')}`);
  return { pages, files };
}
