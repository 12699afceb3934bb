// Runs two releases at the same time under workerd: an earlier release that was recorded, and the
// current build.

import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

import { Miniflare } from 'miniflare';

import { at } from '../../scripts/project.mjs';
import { recordedRelease } from '../../scripts/release.mjs';
import { token } from './harness.mjs';

const objects = { CATALOG: 'Catalog', DATABASE: 'Database', SHARD: 'Shard' };

/** Returns the modules of a release that `npm run release` has recorded. */
export function released(version) {
  const read = (name) => gunzipSync(readFileSync(recordedRelease(version, name)));
  return { script: String(read('index.js.gz')), module: read('index_bg.wasm.gz') };
}

/**
 * Returns the modules of the current build. They report the version `as`, which must be as long as
 * the real version.
 */
export function built(version, as = version) {
  const module = readFileSync(at('build', 'index_bg.wasm'));
  const [own, other] = [version, as].map((text) => Buffer.from(text));
  if (own.length !== other.length) throw new Error(`${as} is not as long as ${version}`);
  let found = 0;
  for (let place = module.indexOf(own); place >= 0; place = module.indexOf(own, place + 1)) {
    module.set(other, place);
    found += 1;
  }
  if (found === 0) throw new Error(`the module does not say that it is ${version}`);
  return { script: readFileSync(at('build', 'index.js'), 'utf8'), module };
}

/** Runs a Worker with Tidemark's objects. The first module is the main module. */
export async function runWorker(name, modules, settings = {}) {
  const env = {};
  for (const [key, value] of Object.entries({ ADMIN_TOKEN: token, LOG_REQUESTS: 'none', ...settings })) {
    env[key] = { type: 'text', value };
  }
  const exports = {};
  for (const [binding, exportName] of Object.entries(objects)) {
    env[binding] = { type: 'durable-object', worker: name, exportName };
    exports[exportName] = { type: 'durable-object', storage: 'sqlite' };
  }
  const manifest = { mainModule: Object.keys(modules)[0], modules };
  const config = { name, compatibilityDate: '2026-11-01', manifest, env, exports };
  const miniflare = new Miniflare({ host: '127.0.0.1', cf: false, workers: [{ config }] });
  const url = String(await miniflare.ready).replace(/\/$/, '');
  return { miniflare, url };
}

/**
 * `mix({ share, protocols })` changes the mixture (see `mixture_worker.js`). `ask(release, path,
 * init)` sends a request to an isolate of the release `older` or `newer`.
 */
export async function mixture({ older, newer, settings = {} }) {
  const modules = { 'mixture_worker.js': { type: 'esm', contents: readFileSync(new URL('mixture_worker.js', import.meta.url), 'utf8') } };
  for (const [release, { script, module }] of Object.entries({ older, newer })) {
    modules[`${release}/index.js`] = { type: 'esm', contents: script };
    modules[`${release}/index_bg.wasm`] = { type: 'wasm', contents: module };
  }
  const { miniflare, url } = await runWorker('mixture', modules, settings);
  const ask = (release, path, init = {}) =>
    fetch(`${url}${path}`, { ...init, headers: { Authorization: `Token ${token}`, 'x-release': release, ...init.headers } });
  const mix = async (change) => {
    const response = await fetch(`${url}/mixture`, { method: 'POST', body: JSON.stringify(change) });
    if (response.status !== 200) throw new Error(`/mixture answered ${response.status}`);
  };
  return { url, ask, mix, stop: () => miniflare.dispose() };
}
