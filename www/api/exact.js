// JSON in which no digit of an integer is lost.

/** An integer that may not fit into a number, or a string, which is to be left alone. */
const longIntegers = /"(?:[^"\\]|\\.)*"|(?<![\d.])-?\d{16,}(?![\d.eE])/g;

const anyLongInteger = /(?<![\d.])\d{16}/;

/** Parses JSON; integers of 16 digits and more become text. */
export function parseExact(text) {
  if (!anyLongInteger.test(text)) return JSON.parse(text);
  return JSON.parse(text.replace(longIntegers, (part) => (part[0] === '"' ? part : `"${part}"`)));
}
