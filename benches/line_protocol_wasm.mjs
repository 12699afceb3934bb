// Runs both line protocol parsers in Node's V8, like `benches/line_protocol/main.rs turns`. Reads
// shape numbers, and prints the bytes and each parser's CPU nanoseconds.

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
