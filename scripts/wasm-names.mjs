// The names of functions in a WebAssembly module: worker-build always keeps them.

const headerBytes = 8;
const customSection = 0;

/** Reads a LEB128 number; answers with it and the place after it. */
function number(bytes, at) {
  let value = 0;
  for (let factor = 1; ; factor *= 128, at += 1) {
    value += (bytes[at] & 0x7f) * factor;
    if (bytes[at] < 0x80) return [value, at + 1];
  }
}

/** The same module without its section `name`. */
export function withoutNames(bytes) {
  const kept = [bytes.subarray(0, headerBytes)];
  for (let from = headerBytes; from < bytes.length; ) {
    const [length, start] = number(bytes, from + 1);
    const end = start + length;
    let isNames = false;
    if (bytes[from] === customSection) {
      const [nameBytes, nameStart] = number(bytes, start);
      const name = bytes.subarray(nameStart, nameStart + nameBytes).toString('utf8');
      isNames = name === 'name';
    }
    if (!isNames) kept.push(bytes.subarray(from, end));
    from = end;
  }
  return Buffer.concat(kept);
}
