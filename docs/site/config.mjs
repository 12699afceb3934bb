// The configuration of VitePress. scripts/docs.mjs copies this file next to the collected pages.

import { sidebar } from './sidebar.mjs';

/** GitHub uses the same anchors, and `tests/it/tidy_pages.rs` checks them by the same rule. */
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
  // Text in braces is not a Markdown attribute.
  markdown: { anchor: { slugify }, attrs: { disable: true } },
  // Otherwise each page has an inline script that changes in every build, and the policy in
  // `_headers` would have to change with it.
  metaChunk: true,
  // The page of errors and the search index are intentionally large.
  vite: { build: { chunkSizeWarningLimit: 3_000 } },
  themeConfig: {
    logo: '/favicon.svg',
    sidebar: sidebar.map(asLink),
    outline: { level: [2, 3] },
    search: { provider: 'local' },
  },
};
