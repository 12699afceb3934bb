// Runs Tidemark inside a Node process for the tests of your own code: the built Worker under
// Miniflare. Run `npm run build` first.

import { readFileSync } from 'node:fs';

import { Miniflare } from 'miniflare';

const build = new URL('../../build/', import.meta.url);

const objects = { CATALOG: 'Catalog', DATABASE: 'Database', SHARD: 'Shard' };

/**
 * Starts a separate server. `token` is the admin token. `settings` are settings from
 * docs/SETTINGS.md, as strings. Without a data folder, the data is lost when the server stops.
 * `inFront` is the configuration of another Worker with a binding to `tidemark`. With `inFront`,
 * `url` is the address of that other Worker.
 */
export async function startTidemark({ token, settings = {}, folder, inFront } = {}) {
  const name = 'tidemark';
  const variables = { ADMIN_TOKEN: token, ...settings };
  const env = {};
  for (const [key, value] of Object.entries(variables)) env[key] = { type: 'text', value };
  const exports = {};
  for (const [binding, exportName] of Object.entries(objects)) {
    env[binding] = { type: 'durable-object', worker: name, exportName };
    exports[exportName] = { type: 'durable-object', storage: 'sqlite' };
  }
  const modules = {
    'index.js': { type: 'esm', contents: readFileSync(new URL('index.js', build), 'utf8') },
    'index_bg.wasm': { type: 'wasm', contents: readFileSync(new URL('index_bg.wasm', build)) },
  };
  const manifest = { mainModule: 'index.js', modules };
  const compatibilityDate = '2026-11-01';
  const config = { name, compatibilityDate, manifest, env, exports };
  const miniflare = new Miniflare({
    host: '127.0.0.1',
    // Prevents Miniflare's requests to other hosts.
    cf: false,
    resourcePersistencePath: folder,
    workers: [...(inFront ? [{ config: inFront }] : []), { config }],
  });
  const url = String(await miniflare.ready).replace(/\/$/, '');
  return { url, miniflare, stop: () => miniflare.dispose() };
}
