// Parses JSON without losing digits of integers.

/** Also matches strings, which remain unchanged. */
const longIntegers = /"(?:[^"\\]|\\.)*"|(?<![\d.])-?\d{16,}(?![\d.eE])/g;

const anyLongInteger = /(?<![\d.])\d{16}/;

/** Returns whether a parsed JSON value is a number, also if it is a long integer. */
export const isNumber = (value) =>
  typeof value === 'number' || (typeof value === 'string' && /^-?\d{16,20}$/.test(value));

/** Integers with 16 or more digits become strings. */
export function parseExact(text) {
  if (!anyLongInteger.test(text)) return JSON.parse(text);
  return JSON.parse(text.replace(longIntegers, (part) => (part[0] === '"' ? part : `"${part}"`)));
}
