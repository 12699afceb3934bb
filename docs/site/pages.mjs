// Collects the pages of the documentation site: all pages in docs/, and every page and file of the
// repository to which they link. Converts the links from paths in the repository to paths in the
// site.

import { existsSync, readFileSync, statSync } from 'node:fs';
import { posix } from 'node:path';

import { at, UserError } from '../../scripts/project.mjs';

/** The site's folder for pages that are not in docs/. */
const outside = 'repository';

/** The first page of the site. Links to the repository's README also lead to this page. */
const home = 'docs/README.md';

/** Folders whose files the site offers as downloads. Links to other files become plain text. */
const offered = ['examples/', 'docs/'];

/** Returns the path of a page in the site, without a leading slash. */
export function placeOf(path) {
  if (path === home) return 'index.md';
  return path.startsWith('docs/') ? path.slice('docs/'.length) : `${outside}/${path}`;
}

/**
 * Calls `change(target, line)` for each link. If the new target is null, only the link's text
 * remains.
 */
export function changeLinks(text, change) {
  let isFenced = false;
  const lines = text.split('\n').map((line, index) => {
    if (line.trimStart().startsWith('```')) {
      isFenced = !isFenced;
      return line;
    }
    if (isFenced) return line;
    // Text in backticks contains no links, but the text of a link may contain backticks.
    return line.replace(/(!?)\[((?:`[^`]*`|[^\][`])*)\]\(([^)\s]+)\)|`[^`]*`/g, (whole, image, words, target) => {
      if (target === undefined || /^[a-z]+:/.test(target)) return whole;
      const changed = change(target, index + 1);
      return changed === null ? words : `${image}[${words}](${changed})`;
    });
  });
  return lines.join('\n');
}

function kindOf(path) {
  if (!existsSync(at(path))) return 'absent';
  if (statSync(at(path)).isDirectory()) return 'folder';
  if (path.endsWith('.md')) return 'page';
  return offered.some((folder) => path.startsWith(folder)) ? 'file' : 'source';
}

/**
 * Collects the pages that are reachable from `first`. `pages` maps each page's path in the
 * repository to its text with converted links. `files` contains the files to download.
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
  if (faults.length > 0) throw new UserError(`These links lead nowhere:\n${faults.join('\n')}`);
  return { pages, files };
}
