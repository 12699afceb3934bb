// Compares the lines of two responses, and finds the first difference. tests/data/query/README.md
// specifies which differences are allowed.

const RELATIVE_TOLERANCE = 1e-9;

/** Returns null if the responses are equal. */
export function difference(query, expected, actual) {
  if (query.isText) return firstDifference(expected, actual, (a, b) => a === b);
  const [a, b] = query.unordered
    ? [sortTies(expected), sortTies(actual)]
    : [expected, actual];
  return firstDifference(a, b, sameLine);
}

function firstDifference(expected, actual, same) {
  const length = Math.max(expected.length, actual.length);
  for (let i = 0; i < length; i += 1) {
    if (i < expected.length && i < actual.length && same(expected[i], actual[i])) continue;
    return `expected ${expected[i] ?? 'no more'}\n     got ${actual[i] ?? 'no more'}`;
  }
  return null;
}

function tokens(line) {
  return line.match(/(?:"(?:[^"\\]|\\.)*"|[^\s"])+/g) ?? [];
}

function sameLine(expected, actual) {
  if (expected === actual) return true;
  const [a, b] = [tokens(expected), tokens(actual)];
  return a.length === b.length && a.every((token, at) => sameToken(token, b[at]));
}

const NUMBER = /^-?\d+(\.\d+)?(e[+-]\d+)?$/;

function sameToken(expected, actual) {
  if (expected === actual) return true;
  if (!NUMBER.test(expected) || !NUMBER.test(actual)) return false;
  // Two whole numbers must be equal, because they may be integers.
  if (!/[.e]/.test(expected + actual)) return false;
  const [a, b] = [Number(expected), Number(actual)];
  const scale = Math.max(Math.abs(a), Math.abs(b));
  // JavaScript and Go's encoding/json print floats in the same way.
  const isSpelt = String(b) === actual || !/[.e]/.test(actual);
  return isSpelt && Math.abs(a - b) <= RELATIVE_TOLERANCE * scale;
}

function sortTies(lines) {
  const sorted = [];
  let time = null;
  const tie = [];
  const flush = () => sorted.push(...tie.splice(0).sort());
  lines.forEach((line, index) => {
    const isEnd = line === '' || /^(statement \d+|error: .*|message: .*)$/.test(line);
    const isHead = !isEnd && (index === 0 || /^$|^statement \d+$/.test(lines[index - 1]));
    const isColumns = index > 0 && time === 'head';
    if (isEnd || isHead || isColumns) {
      flush();
      sorted.push(line);
      time = isHead ? 'head' : isColumns ? tokens(line).indexOf('time') : null;
      return;
    }
    const row = tokens(line);
    if (tie.length > 0 && tokens(tie[0])[time] !== row[time]) flush();
    tie.push(row.join(' '));
  });
  flush();
  return sorted;
}
