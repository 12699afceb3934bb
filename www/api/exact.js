// JSON in which no digit of an integer is lost.

/** Keeps the digits of an integer that a number would round, as text. */
function exact(key, value, context) {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
  const source = context?.source ?? '';
  return /^-?\d+$/.test(source) ? source : value;
}

/** A long integer right after a bracket, a comma or a colon. */
const longInteger = /(?<=[[,:]\s*-?)\d{16}/;

/** Parses JSON; integers beyond 2^53 become their digits as text. */
export function parseExact(text) {
  // Asking for each number is slow, and most replies hold none that would be rounded.
  return longInteger.test(text) ? JSON.parse(text, exact) : JSON.parse(text);
}
