// Parses JSON without losing digits of integers.

/**
 * Matches integers that may exceed the safe range of a number, and strings, which remain unchanged.
 */
const longIntegers = /"(?:[^"\\]|\\.)*"|(?<![\d.])-?\d{16,}(?![\d.eE])/g;

const anyLongInteger = /(?<![\d.])\d{16}/;

/** Parses JSON. Integers with 16 or more digits become strings. */
export function parseExact(text) {
  if (!anyLongInteger.test(text)) return JSON.parse(text);
  return JSON.parse(text.replace(longIntegers, (part) => (part[0] === '"' ? part : `"${part}"`)));
}
