// Measures the time from the start of workerd to its first response, with Tidemark's Worker and
// with an empty Worker that has the same object classes. workerd reads a compiled configuration, as under
// wrangler.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { serve, startWorkerd } from '../tests/edge/workerd.mjs';
import { cpuSeconds } from './cpu_time.mjs';

const turns = 7;
const objects = ['Catalog', 'Database', 'Shard'];
const emptyWorker = [
  "import { DurableObject } from 'cloudflare:workers';",
  ...objects.map((name) => `export class ${name} extends DurableObject {}`),
  'export default { fetch: () => new Response(null, { status: 204 }) };',
].join('\n');
const how = { pollMs: 1, isCompiled: true };

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

/**
 * Starts workerd and waits for its first response. Returns wall-clock milliseconds and CPU
 * milliseconds.
 */
async function first(start) {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-start-up-'));
  const server = await start(folder);
  const cpuMs = cpuSeconds(server.pid) * 1_000;
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
  return { ms: server.responseMs, cpuMs };
}

function startEmpty(folder) {
  const module = join(folder, 'empty.js');
  writeFileSync(module, emptyWorker);
  return serve({ folder, modules: [module], objects, ...how });
}

/**
 * Measures both Workers in turn. Returns the medians as `{ empty, worker }`, with `{ ms, cpuMs }`
 * for each Worker.
 */
export async function startUp() {
  const times = { empty: [], worker: [] };
  for (let turn = 0; turn < turns; turn += 1) {
    times.empty.push(await first(startEmpty));
    times.worker.push(await first((folder) => startWorkerd(folder, 'start-up', how)));
  }
  const medians = (all) => ({
    ms: median(all.map(({ ms }) => ms)),
    cpuMs: median(all.map(({ cpuMs }) => cpuMs)),
  });
  return { empty: medians(times.empty), worker: medians(times.worker) };
}
