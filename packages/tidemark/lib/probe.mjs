// The measurements of `tidemark probe`. The program removes everything that it deploys.

import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { built } from './built.mjs';
import { UserError } from './command.mjs';
import { grpcAnswer } from './grpc.mjs';
import { largeModule } from './large_module.mjs';

/** The program removes only scripts with this prefix. */
export const prefix = 'tidemark-probe-';

/** The maximum time, in milliseconds, until a new address is reachable from everywhere. */
const knownMs = 120_000;
const pollMs = 1_000;
const answerMs = 60_000;

const regions = ['wnam', 'enam', 'sam', 'weur', 'eeur', 'apac', 'oc', 'afr', 'me'];
const commits = 20;

const valueBytes = [1_000_000, 33_000_000];
const valueStepBytes = 1_000;
const memoryMegabytes = [32, 64, 96, 104, 112, 116, 120, 124, 128, 136, 160, 192, 256, 384];
const callsMax = 10_500;
const callsTogether = 25;

/** The size of the stored value for `substr`, in bytes, and the number of reads in one request. */
const storedBytes = 1_900_000;
const reads = 200;

/** The sizes of the two modules in MB. The package may contain the real modules. */
const moduleMegabytes = [['index_bg.wasm', 5], ['sql/index_bg.wasm', 28]].map(([file, usual]) => {
  const path = join(built, String(file));
  return existsSync(path) ? Math.ceil(statSync(path).size / 1e6) : Number(usual);
});

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
const code = (name) => readFileSync(new URL(`../probe/${name}`, import.meta.url));

class Scratch {
  constructor({ url, token, startUpMs, signal }) {
    this.url = url;
    this.token = token;
    this.startUpMs = startUpMs;
    this.signal = signal;
  }

  async request(path, given) {
    const signal = AbortSignal.any([this.signal, AbortSignal.timeout(answerMs)]);
    const init = { method: given ? 'POST' : 'GET', headers: { 'Probe-Token': this.token }, body: given && JSON.stringify(given), signal };
    const response = await fetch(`${this.url}${path}`, init);
    const text = await response.text();
    // If the platform ends a Worker, the response contains a text such as "error code: 1102".
    const cause = /error code: (\d+)/i.exec(text)?.[0] ?? text.slice(0, 80);
    if (!response.ok) throw new Error(`${response.status} ${cause}`.trim());
    return JSON.parse(text).answer;
  }

  ask = (name, given) => this.request(`/${name}`, given);

  async ready() {
    const until = Date.now() + knownMs;
    for (;;) {
      try {
        return await this.request('/where');
      } catch (error) {
        this.signal.throwIfAborted();
        if (Date.now() > until) throw new UserError(`${this.url} does not respond: ${error.cause?.code ?? error.message}.`);
        await new Promise((resolve) => setTimeout(resolve, pollMs));
      }
    }
  }

  async milliseconds(name, given) {
    const from = performance.now();
    await this.ask(name, given);
    return performance.now() - from;
  }
}

/** Returns the size of the largest value that SQLite accepts, to the nearest thousand bytes. */
async function largestValue(scratch) {
  let [good, bad] = valueBytes;
  const refused = (bytes) => scratch.ask('put', { bytes }).catch((error) => error.message);
  const first = await refused(good);
  if (first !== null) return `less than ${good} bytes: ${first}`;
  let why = await refused(bad);
  if (why === null) return `${bad} bytes, and perhaps more`;
  while (bad - good > valueStepBytes) {
    const middle = Math.floor((good + bad) / 2);
    const error = await refused(middle);
    if (error === null) good = middle;
    else [bad, why] = [middle, error];
  }
  return `${good} bytes; ${bad} bytes failed: ${why}`;
}

/**
 * Measures the duration of one read: the difference between a request with many reads and a request
 * without reads, in microseconds per read.
 */
async function substrTimes(scratch) {
  await scratch.ask('put', { bytes: storedBytes });
  const parts = { 'the first 16 bytes': [1, 16], 'the last 16 bytes': [storedBytes - 15, 16], 'all of it': [1, storedBytes] };
  const rows = [];
  for (const [what, [from, bytes]] of Object.entries(parts)) {
    const [none, many] = [[], []];
    for (let turn = 0; turn < 5; turn += 1) {
      none.push(await scratch.milliseconds('substr', { from, bytes, times: 0 }));
      many.push(await scratch.milliseconds('substr', { from, bytes, times: reads }));
    }
    rows.push([`substr of ${storedBytes} bytes, ${what}`, `${Math.max(0, ((median(many) - median(none)) * 1_000) / reads).toFixed(0)} µs`]);
  }
  return rows;
}

async function commitTimes(scratch) {
  const rows = [];
  for (const region of regions) {
    const { empty, commit } = await scratch.ask('commit', { region, times: commits });
    const [call, row] = [median(empty), median(commit)];
    rows.push([`a commit in ${region}`, `${row - call} ms more than an empty call, which takes ${call} ms (medians of ${commits})`]);
  }
  return rows;
}

/**
 * Measures how much memory a Worker can allocate. Each request allocates more memory, until one
 * fails.
 */
async function memoryEnd(scratch) {
  let last = 0;
  for (const megabytes of memoryMegabytes) {
    try {
      await scratch.ask('memory', { megabytes });
      last = megabytes;
    } catch (error) {
      scratch.signal.throwIfAborted();
      return `${last} MiB can be allocated; ${megabytes} MiB failed: ${error.message}`;
    }
  }
  return `${last} MiB can be allocated, and perhaps more`;
}

async function callsEnd(scratch) {
  const { done, error } = await scratch.ask('calls', { max: callsMax, together: callsTogether });
  return error ? `${done}; then an error: ${error}` : `${done}, and perhaps more`;
}

async function* measurements({ deploy, onDomain, say, signal }) {
  const objects = {
    bindings: [{ type: 'durable_object_namespace', name: 'PROBE', class_name: 'Probe' }],
    migrations: { new_tag: 'v1', new_sqlite_classes: ['Probe'] },
  };
  const scratch = await deploy('objects', { modules: { 'worker.js': code('worker.js'), 'memory.js': code('memory.js') }, ...objects });
  const { colo, protocol } = await scratch.ready();
  yield ['measured at', `${colo ?? 'an unknown place'}, ${protocol ?? 'HTTP'}`];
  const parts = [
    ['the largest SQLite value', async () => [['the largest SQLite value', await largestValue(scratch)]]],
    ['substr on blobs', () => substrTimes(scratch)],
    ['commits by region', () => commitTimes(scratch)],
    ['calls in one request', async () => [['calls to an object in one request', await callsEnd(scratch)]]],
    ['gRPC', async () => [['gRPC to a Worker that supports gRPC-Web', await grpcAnswer(scratch)]]],
  ];
  if (onDomain) parts.push(['gRPC on a custom domain', async () => [['gRPC on a custom domain', await grpcAnswer(await onDomain(scratch))]]]);
  for (const [title, measure] of parts) yield* await part(title, measure, say, signal);
  for (const megabytes of moduleMegabytes) {
    yield* await part(`the start and the memory of a module of ${megabytes} MB`, () => startOf(megabytes, deploy), say, signal);
  }
}

/**
 * Yields the rows of a measurement. A failed measurement becomes a row with its error, so that the
 * other results are still reported.
 */
async function part(title, measure, say, signal) {
  say(`- ${title} …`);
  try {
    return await measure();
  } catch (error) {
    signal.throwIfAborted();
    return [[title, `not measured: ${error.message}`]];
  }
}

async function startOf(megabytes, deploy) {
  const wasm = largeModule(megabytes * 1e6);
  const scratch = await deploy(`module-${megabytes}`, { modules: { 'large.js': code('large.js'), 'memory.js': code('memory.js'), 'large.wasm': wasm } });
  const from = performance.now();
  await scratch.ready();
  const known = performance.now() - from;
  const after = [];
  for (let turn = 0; turn < 5; turn += 1) after.push(await scratch.milliseconds('again'));
  const startUp = scratch.startUpMs === null ? 'not reported' : `${scratch.startUpMs} ms`;
  return [
    [`start-up of a module of ${megabytes} MB`, `${startUp} (by the platform); first response after ${known.toFixed(0)} ms, the next ${median(after).toFixed(0)} ms`],
    [`memory next to a module of ${megabytes} MB`, await memoryEnd(scratch)],
  ];
}

/**
 * `say` receives progress messages. Removes every script, even after a failure or when `signal`
 * aborts. `domain` is a host name without a DNS record in a zone of the account. With `domain`, the
 * program also tests gRPC at this domain and then removes the domain.
 * @param {Record<string, any>} options
 */
export async function probe({ account, day, say, signal, domain = null, addressOf = (name) => `https://${name}` }) {
  await account.open(signal);
  const token = randomBytes(16).toString('hex');
  const run = randomBytes(4).toString('hex');
  const names = [];
  const deploy = async (suffix, { modules, bindings = [], ...more }) => {
    const name = `${prefix}${run}-${suffix}`;
    // Records the name before the upload, so that the script of a failed upload is also removed.
    names.push(name);
    const secret = { type: 'secret_text', name: 'PROBE_TOKEN', text: token };
    const metadata = { compatibility_date: day, bindings: [...bindings, secret], ...more };
    const { url, startUpMs } = await account.put(name, { modules, metadata }, signal);
    return new Scratch({ url, token, startUpMs, signal });
  };
  let hasDomain = false;
  const onDomain = async () => {
    hasDomain = true;
    await account.setDomains(names[0], [domain], signal);
    const scratch = new Scratch({ url: addressOf(domain), token, startUpMs: null, signal });
    await scratch.ready();
    return scratch;
  };
  const rows = [];
  try {
    for await (const row of measurements({ deploy, onDomain: domain && onDomain, say, signal })) rows.push(row);
    return rows;
  } finally {
    // Without this call, the domain would remain bound to a Worker that no longer exists.
    if (hasDomain) await account.setDomains(names[0], []).catch((error) => say(`- the custom domain was not released: ${error.message}`));
    await removeAll(account, names, say);
  }
}

/** Throws a [UserError] with the names of the scripts that could not be removed. */
export async function removeAll(account, names, say) {
  const stayed = [];
  for (const name of names) {
    say(`- removing ${name} …`);
    await account.remove(name).catch((error) => stayed.push(`${name} (${error.message})`));
  }
  if (stayed.length === 0) return;
  throw new UserError(`Not removed: ${stayed.join(', ')}. Run \`tidemark probe --remove\`, or delete the Workers under Workers & Pages in the dashboard.`);
}
