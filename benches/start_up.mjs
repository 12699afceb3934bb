// How long a fresh workerd takes to its first answer, with our Worker and with an empty one of as many classes of
// objects: to make the folders of each for the first time takes the runtime most of that.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { cpuSeconds } from './cpu_time.mjs';
import { serve, startWorkerd } from './workerd.mjs';

const turns = 7;
const objects = ['Catalog', 'Database', 'Shard'];
const emptyWorker = [
  "import { DurableObject } from 'cloudflare:workers';",
  ...objects.map((name) => `export class ${name} extends DurableObject {}`),
  'export default { fetch: () => new Response(null, { status: 204 }) };',
].join('\n');
/** The first answer is looked for this often. */
const pollMs = 1;

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

/** From starting a server to its first answer: milliseconds by the clock, and of CPU time. */
async function first(start) {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-start-up-'));
  const from = performance.now();
  const server = await start(folder);
  const ms = performance.now() - from;
  const cpuMs = cpuSeconds(server.pid) * 1_000;
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
  return { ms, cpuMs };
}

function startEmpty(folder) {
  const module = join(folder, 'empty.js');
  writeFileSync(module, emptyWorker);
  return serve({ folder, modules: [module], objects, pollMs });
}

/** Medians by turns: `{ empty, worker }`, each `{ ms, cpuMs }`. */
export async function startUp() {
  const times = { empty: [], worker: [] };
  for (let turn = 0; turn < turns; turn += 1) {
    times.empty.push(await first(startEmpty));
    times.worker.push(await first((folder) => startWorkerd(folder, 'start-up', { pollMs })));
  }
  const medians = (all) => ({
    ms: median(all.map(({ ms }) => ms)),
    cpuMs: median(all.map(({ cpuMs }) => cpuMs)),
  });
  return { empty: medians(times.empty), worker: medians(times.worker) };
}
