// The stages of a write in this Node's V8: ms of a batch in each of them, as JSON.
//
// Arguments: the module, batches that only warm up, batches that count.

import { readFileSync } from 'node:fs';

import { compressed, percentile } from './ingest.mjs';
import { batches } from './tsbs.mjs';
import { instance } from './wasm_instance.mjs';

const [file, warm, counted] = process.argv.slice(2);
const exports = instance(readFileSync(file));

/** By the clock: what is counted of CPU time is coarser than a stage. */
function timed(work) {
  const from = performance.now();
  work();
  return performance.now() - from;
}

/** CPU ms of this thread; V8 optimises in others. */
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
  // Few batches have one, each long enough to be counted.
  flush += (cpuMs() - before) / Number(counted);
  for (const name of names) times[name].push(of[name]);
}
// Whoever is not alone on the machine waits for its turn in the middle of most batches.
const undisturbed = (name) => percentile(times[name], 0.1);
const [both, parse, encode, append] = names.map(undisturbed);
// Inflating reads the lines as well.
console.log(JSON.stringify({ inflate: both - parse, parse, encode, append, flush, frameBytes }));
