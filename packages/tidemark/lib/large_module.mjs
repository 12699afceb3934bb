// Generates a WebAssembly module of a given size. Like the code of a large program, it contains
// many functions that compute.

function number(value) {
  const bytes = [];
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest & 127) | 128);
  }
}

const section = (id, length, parts) => Buffer.concat([Buffer.from([id, ...number(length)]), ...parts]);

/**
 * The number of steps of a function. Each step is `x = x * k + i` with different constants, so that
 * all functions differ.
 */
const stepsOfFunction = 120;

function body(seed) {
  const code = [0]; // The function has no local variables except its argument.
  for (let step = 0; step < stepsOfFunction; step += 1) {
    // local.get 0, i32.const, i32.mul, i32.const, i32.add, local.set 0
    code.push(0x20, 0, 0x41, ((seed + step) % 30) * 2 + 3, 0x6c, 0x41, (seed >> 3) % 61, 0x6a, 0x21, 0);
  }
  code.push(0x20, 0, 0x0b);
  return Buffer.from([...number(code.length), ...code]);
}

/** Returns a module of about `bytes` bytes. Its function `first` converts a number to a number. */
export function largeModule(bytes) {
  const one = body(0);
  const count = Math.ceil(bytes / (one.length + 1));
  const bodies = Array.from({ length: count }, (_, n) => body(n));
  const codes = [Buffer.from(number(count)), ...bodies];
  const types = Buffer.alloc(count); // Each function has type 0.
  const declared = [Buffer.from(number(count)), types];
  const sizeOf = (parts) => parts.reduce((sum, part) => sum + part.length, 0);
  const name = Buffer.from('first');
  return Buffer.concat([
    Buffer.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]),
    section(1, 6, [Buffer.from([1, 0x60, 1, 0x7f, 1, 0x7f])]),
    section(3, sizeOf(declared), declared),
    section(7, name.length + 4, [Buffer.from([1, name.length]), name, Buffer.from([0, 0])]),
    section(10, sizeOf(codes), codes),
  ]);
}
