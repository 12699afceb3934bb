// Runs the test program that `cargo test --target wasm32-unknown-unknown` builds. The program
// prints nothing. A failed test causes a trap, and the stack trace contains the test's name.

import { readFileSync } from 'node:fs';

Error.stackTraceLimit = 40;
const [file] = process.argv.slice(2);
const { instance } = await WebAssembly.instantiate(readFileSync(file), {});
const { main } = /** @type {{ main: (count: number, list: number) => number }} */ (instance.exports);
process.exitCode = main(0, 0);
