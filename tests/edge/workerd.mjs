// Runs a Worker on plain workerd, for tests and benchmarks. Unlike `wrangler dev`, no other process
// runs next to the Worker. A kill therefore ends only workerd, and measurements include no overhead
// of wrangler.

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';

import { parse } from 'smol-toml';
import workerd from 'workerd';

import { freePort } from '../../scripts/dev-server.mjs';
import { endGroup, startGroup } from '../../scripts/processes.mjs';
import { at } from '../../scripts/project.mjs';

const startMs = 20_000;
/** The maximum size of a compiled configuration, which contains the modules. */
const compiledBytesMax = 100_000_000;

const quoted = (text) => JSON.stringify(text);

/** Modules import each other by their paths in this repository. A module outside of it has only a file name. */
function nameOf(path) {
  const name = relative(at(), path);
  return name.startsWith('..') ? basename(path) : name;
}

function moduleOf(folder, path) {
  const name = nameOf(path);
  const kind = name.endsWith('.wasm') ? 'wasm' : 'esModule';
  // A relative path, because workerd would search an absolute path among the schemas.
  return `(name = ${quoted(name)}, ${kind} = embed ${quoted(relative(folder, path))})`;
}

/** Parses `_headers`: a pattern of paths, followed by indented headers. */
function headerRules(text) {
  return text.split('\n').filter((line) => line.trim() !== '').reduce((rules, line) => {
    if (!/^\s/.test(line)) return [...rules, [line.trim(), []]];
    const [, name, value] = /^\s+([^:]+): (.*)$/.exec(line);
    rules.at(-1)[1].push([name, value]);
    return rules;
  }, []);
}

/** Returns the services that serve the folder `site` in front of the Worker, and the definition of their Worker. */
function siteServices(folder, site, { compatibility_date: day, assets }) {
  const headers = headerRules(readFileSync(join(site, '_headers'), 'utf8'));
  const json = (name, value) => `(name = "${name}", json = ${quoted(JSON.stringify(value))})`;
  const services = `(name = "site", worker = .site), (name = "files", disk = ${quoted(site)})`;
  const definition = `const site :Workerd.Worker = (
  compatibilityDate = "${day}",
  modules = [${moduleOf(folder, at('tests', 'edge', 'site_worker.js'))}],
  bindings = [(name = "WORKER", service = "main"), (name = "FILES", service = "files"),
    ${json('WORKER_FIRST', assets.run_worker_first)}, ${json('HEADERS', headers)}],
);
`;
  return { services, definition };
}

function config({ folder, port, stateDir, modules, objects, vars, isExperimental, site }) {
  const settings = /** @type {any} */ (parse(readFileSync(at('wrangler.toml'), 'utf8')));
  const front = site === undefined ? undefined : siteServices(folder, site, settings);
  const embedded = modules.map((path) => moduleOf(folder, path));
  const namespaces = objects.map((name) => `(className = "${name}", uniqueKey = "tidemark-${name}", enableSql = true)`);
  const bindings = [
    ...objects.map((name) => `(name = "${name.toUpperCase()}", durableObjectNamespace = "${name}")`),
    ...Object.entries(vars).map(([name, value]) => `(name = "${name}", text = ${quoted(value)})`),
  ];
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .main), ${front ? `${front.services},` : ''}
    (name = "disk", disk = (path = ${quoted(stateDir)}, writable = true))],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "${front ? 'site' : 'main'}")],
);
const main :Workerd.Worker = (
  compatibilityDate = "${settings.compatibility_date}",
  compatibilityFlags = [${isExperimental ? '"experimental"' : ''}],
  modules = [${embedded.join(', ')}],
  bindings = [${bindings.join(', ')}],
  durableObjectNamespaces = [${namespaces.join(', ')}],
  durableObjectStorage = (localDisk = "disk"),
);
${front?.definition ?? ''}`;
}

async function answers(url) {
  try {
    return (await fetch(`${url}/ping`)).status === 204;
  } catch {
    return false;
  }
}

/**
 * Waits until `/ping` returns status 204, with pauses of `pollMs`. The state of the Worker is
 * stored in `folder`. `modules` are paths, with the main module first. `objects` are the classes of
 * Durable Objects. Each binding has the name of the class in capitals. With `isCompiled`, workerd
 * reads a compiled configuration, as under wrangler. With `isExperimental`, the Worker may use
 * workerd's experimental features for tests. `site` is a folder of static files (site_worker.js).
 */
export async function serve({
  folder, modules, objects, port = undefined, vars = {}, pollMs = 50, isCompiled = false, isExperimental = false, stdio = undefined,
  site = undefined,
}) {
  port ??= await freePort();
  const stateDir = join(folder, 'plain');
  mkdirSync(stateDir, { recursive: true });
  const file = join(folder, 'workerd.capnp');
  writeFileSync(file, config({ folder, port, stateDir, modules, objects, vars, isExperimental, site }));
  const line = ['serve', file];
  if (isCompiled) {
    const compiled = execFileSync(workerd.default, ['compile', '--config-only', file], { maxBuffer: compiledBytesMax });
    writeFileSync(file, compiled);
    line.push('--binary');
  }
  if (isExperimental) line.push('--experimental');
  const from = performance.now();
  const child = startGroup(workerd.default, line, { stdio: stdio ?? ['ignore', 'inherit', 'inherit'] });
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
  const responseMs = performance.now() - from;
  return { url, pid: child.pid, child, folder: stateDir, responseMs, stop: () => endGroup(child) };
}

/**
 * Uses the objects and settings of `npm start`, but no static files. `vars` adds variables. `token`
 * is the admin token, or null. `script` imports the built Worker, and may use the runtime's test
 * features. `serve` describes all further options.
 * @param {string} folder
 * @param {string | null} token
 * @param {any} options
 */
export function startWorkerd(folder, token, { vars = {}, script = undefined, ...more } = {}) {
  return serve({
    folder,
    modules: [...(script ? [script] : []), at('build', 'index.js'), at('build', 'index_bg.wasm')],
    objects: ['Catalog', 'Database', 'Shard'],
    vars: { ...(token === null ? {} : { ADMIN_TOKEN: token }), LOG_REQUESTS: 'none', ...vars },
    isExperimental: script !== undefined,
    ...more,
  });
}
