// Runs both line protocol parsers in Node's V8, like `benches/line_protocol/main.rs turns`.
//
// Each input line contains the number of a shape. Each output line contains the number of bytes,
// and the CPU nanoseconds of each parser.

import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

import { instance } from './wasm_instance.mjs';

const exports = instance(readFileSync(process.argv[2]));

function cpuNs(work) {
  const from = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(from);
  return (user + system) * 1000;
}

let prepared;
let bytes;
for await (const shape of createInterface({ input: process.stdin })) {
  if (shape !== prepared) bytes = exports.prepare(Number((prepared = shape)));
  console.log(bytes, cpuNs(() => exports.run(1)), cpuNs(() => exports.run(0)));
}
