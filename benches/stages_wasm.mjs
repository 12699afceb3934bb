// The stages of a write in this Node's V8: ms of a batch in each of them, as JSON.
//
// Arguments: the module, batches that only warm up, batches that count.

import { readFileSync } from 'node:fs';

import { compressed, median } from './ingest.mjs';
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

function put(body) {
  const start = exports.body(body.length);
  new Uint8Array(exports.memory.buffer).set(body, start);
}

const names = ['inflate', 'parse', 'encode', 'append', 'alarms'];
const times = Object.fromEntries(names.map((name) => [name, []]));
const generator = batches({});
let frameBytes = 0;
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
  of.alarms = timed(exports.alarms);
  if (number >= 0) for (const name of names) times[name].push(of[name]);
}
const sum = (values) => values.reduce((all, value) => all + value, 0);
const ms = {
  // It reads the lines as well.
  inflate: median(times.inflate) - median(times.parse),
  parse: median(times.parse),
  encode: median(times.encode),
  append: median(times.append),
  // Most batches have none.
  flush: sum(times.alarms) / times.alarms.length,
};
console.log(JSON.stringify({ ...ms, frameBytes }));
