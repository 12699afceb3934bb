// Both line protocol parsers in this Node's V8: as `benches/line_protocol/main.rs turns` does.
//
// Reads the number of a shape per line, answers with the bytes and each parser's CPU nanoseconds.

import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const module = new WebAssembly.Module(readFileSync(process.argv[2]));
// The crate brings wasm-bindgen's imports along; nothing that is measured calls them.
const imports = {};
for (const { module: from, name } of WebAssembly.Module.imports(module)) {
  (imports[from] ??= {})[name] = () => {};
}
const { exports } = new WebAssembly.Instance(module, imports);

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
