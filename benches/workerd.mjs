// Runs a Worker on plain `workerd serve`, to measure the overhead of `wrangler dev`.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { parse } from 'smol-toml';
import workerd from 'workerd';

import { moduleOf, objectsOf, quoted, v8Flags as ofServe } from '../packages/tidemark/lib/configuration.mjs';
import { freePort } from '../scripts/dev-server.mjs';
import { endGroup, startGroup } from '../scripts/processes.mjs';
import { at } from '../scripts/project.mjs';

const startMs = 20_000;

function config({ folder, port, stateDir, modules, objects, vars, v8Flags }) {
  const { compatibility_date: day } = parse(readFileSync(at('wrangler.toml'), 'utf8'));
  const embedded = modules.map((path) => moduleOf(folder, path));
  const { namespaces, bound } = objectsOf(objects, 'bench');
  const bindings = [
    ...bound,
    ...Object.entries(vars).map(([name, value]) => `(name = "${name}", text = ${quoted(value)})`),
  ];
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  v8Flags = [${v8Flags.map(quoted).join(', ')}],
  services = [(name = "main", worker = .benched),
    (name = "disk", disk = (path = ${quoted(stateDir)}, writable = true))],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);
const benched :Workerd.Worker = (
  compatibilityDate = "${day}",
  modules = [${embedded.join(', ')}],
  bindings = [${bindings.join(', ')}],
  durableObjectNamespaces = [${namespaces.join(', ')}],
  durableObjectStorage = (localDisk = "disk"),
);
`;
}

async function answers(url) {
  try {
    return (await fetch(`${url}/ping`)).status === 204;
  } catch {
    return false;
  }
}

/**
 * Starts a Worker and waits until `/ping` returns status 204. The state of the Worker is stored in
 * `folder`.
 *
 * `modules` are paths, with the main module first. `objects` are the classes of its Durable
 * Objects. Each binding has the name of the class in capitals. `vars` are the variables of the
 * Worker. `v8Flags` are for profilers. `pollMs` is the pause between requests to `/ping`.
 */
export async function serve({ folder, modules, objects, vars = {}, v8Flags = [], pollMs = 50 }) {
  const port = await freePort();
  const stateDir = join(folder, 'plain');
  mkdirSync(stateDir, { recursive: true });
  const file = join(folder, 'workerd.capnp');
  writeFileSync(file, config({ folder, port, stateDir, modules, objects, vars, v8Flags }));
  const child = startGroup(workerd.default, ['serve', file], { stdio: ['ignore', 'inherit', 'inherit'] });
  let over = false;
  child.ended.then(() => (over = true));
  const url = `http://127.0.0.1:${port}`;
  const deadline = Date.now() + startMs;
  while (!(await answers(url))) {
    if (over) throw new Error('workerd ended before it answered; its last words are above');
    if (Date.now() > deadline) {
      await endGroup(child);
      throw new Error(`workerd did not answer within ${startMs / 1000} seconds`);
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
  return { url, pid: child.pid, folder: stateDir, stop: () => endGroup(child) };
}

/**
 * Starts the built Worker with the objects and settings of `npm start`, but without static files.
 * `vars` adds variables.
 */
export function startWorkerd(folder, token, { v8Flags = [], pollMs = undefined, vars = {} } = {}) {
  return serve({
    folder,
    modules: [at('build', 'index.js'), at('build', 'index_bg.wasm')],
    objects: ['Catalog', 'Database', 'Shard'],
    vars: { ADMIN_TOKEN: token, LOG_REQUESTS: 'none', ...vars },
    v8Flags: [...ofServe, ...v8Flags],
    pollMs,
  });
}
