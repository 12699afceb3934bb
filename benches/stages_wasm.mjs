// Measures the stages of a write in Node's V8. Prints the milliseconds per batch as JSON.
//
// Arguments: the module, the number of batches for warm-up, and the number of measured batches.

import { readFileSync } from 'node:fs';

import { compressed, percentile } from './ingest.mjs';
import { batches } from './tsbs.mjs';
import { instance } from './wasm_instance.mjs';

const [file, warm, counted] = process.argv.slice(2);
const exports = instance(readFileSync(file));

/** Returns the wall-clock time of `work`. A stage is shorter than the resolution of CPU time. */
function timed(work) {
  const from = performance.now();
  work();
  return performance.now() - from;
}

/** Returns the CPU time of this thread only, because V8 optimises code in other threads. */
const cpuMs = () => {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
};

function put(body) {
  const start = exports.body(body.length);
  new Uint8Array(exports.memory.buffer).set(body, start);
}

const names = ['inflate', 'parse', 'encode', 'append'];
const times = Object.fromEntries(names.map((name) => [name, []]));
const generator = batches({});
let frameBytes = 0;
let flush = 0;
for (let number = -Number(warm); number < Number(counted); number++) {
  const body = generator.next().value;
  const zipped = compressed(body);
  const of = {};
  put(zipped);
  of.inflate = timed(exports.inflate);
  put(body);
  of.parse = timed(exports.parse);
  of.encode = timed(() => (frameBytes = exports.encode()));
  of.append = timed(exports.append);
  const before = cpuMs();
  exports.alarms();
  if (number < 0) continue;
  // A flush is long enough to be measured as CPU time.
  flush += (cpuMs() - before) / Number(counted);
  for (const name of names) times[name].push(of[name]);
}
// On a shared machine, other programs interrupt most batches. Only the fastest tenth counts.
const undisturbed = (name) => percentile(times[name], 0.1);
const [both, parse, encode, append] = names.map(undisturbed);
// `both` is the time of decompressing and parsing together.
console.log(JSON.stringify({ inflate: both - parse, parse, encode, append, flush, frameBytes }));
