// Runs the program of `cargo test --target wasm32-unknown-unknown`. The program has no output: a
// failed test ends it with a trap, whose stack names the test.

import { readFileSync } from 'node:fs';

Error.stackTraceLimit = 40;
const [file] = process.argv.slice(2);
const { instance } = await WebAssembly.instantiate(readFileSync(file), {});
const { main } = /** @type {{ main: (count: number, list: number) => number }} */ (instance.exports);
process.exitCode = main(0, 0);
