// The configuration of VitePress. scripts/docs.mjs copies this file next to the collected pages.

import { sidebar } from './sidebar.mjs';

/**
 * Returns a heading's anchor as GitHub writes it, so that a link works in both places.
 * `tests/it/tidy_pages.rs` checks the anchors by the same rule.
 */
const slugify = (heading) => heading.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-');

const asLink = ({ text, page, items }) => (items
  ? { text, collapsed: text === 'Internals', items: items.map(asLink) }
  : { text, link: `/${page}` });

const base = process.env.DOCS_BASE ?? '/docs/';

export default {
  title: 'Tidemark',
  description: 'A time-series database that is compatible with InfluxDB',
  lang: 'en',
  base,
  head: [['link', { rel: 'icon', href: `${base}favicon.svg` }]],
  srcDir: 'pages',
  outDir: 'built',
  cacheDir: 'cache',
  // Braces in the pages are no attributes of Markdown.
  markdown: { anchor: { slugify }, attrs: { disable: true } },
  // Otherwise each page has an inline script that differs in every build, and with it the policy in `_headers`.
  metaChunk: true,
  // The page of errors and the index of the search are large on purpose.
  vite: { build: { chunkSizeWarningLimit: 3_000 } },
  themeConfig: {
    logo: '/favicon.svg',
    sidebar: sidebar.map(asLink),
    outline: { level: [2, 3] },
    search: { provider: 'local' },
  },
};
