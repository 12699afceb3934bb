// Compares the responses of two servers. Floats may differ by 1e-9, and rows with equal times may
// be in any order.

/** Returns the first difference, or an empty string. */
export function sameAnswer(a, b) {
  const [x, y] = [JSON.parse(a), JSON.parse(b)].map(ordered);
  return difference(x, y, '');
}

function ordered(answer) {
  for (const { series = [] } of answer.results ?? []) {
    for (const one of series) {
      // InfluxDB 1.x sets `partial` on complete responses with more than 10,000 rows.
      delete one.partial;
      const rows = (one.values ?? []).map((row) => [row, JSON.stringify(row)]);
      let start = 0;
      const sorted = [];
      while (start < rows.length) {
        let end = start + 1;
        while (end < rows.length && rows[end][0][0] === rows[start][0][0]) end++;
        const same = rows.slice(start, end);
        if (same.length > 1) same.sort((p, q) => (p[1] < q[1] ? -1 : 1));
        sorted.push(...same.map(([row]) => row));
        start = end;
      }
      one.values = sorted;
    }
  }
  return answer;
}

function difference(a, b, where) {
  if (a === undefined || b === undefined) return `${where}: only one has it`;
  if (typeof a === 'number' && typeof b === 'number') {
    const close = Math.abs(a - b) <= 1e-9 * Math.max(Math.abs(a), Math.abs(b));
    return close ? '' : `${where}: ${a} and ${b}`;
  }
  if (a === null || b === null || typeof a !== 'object' || typeof b !== 'object') {
    return a === b ? '' : `${where}: ${JSON.stringify(a)} and ${JSON.stringify(b)}`;
  }
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  for (const key of keys) {
    const found = difference(a[key], b[key], `${where}/${key}`);
    if (found) return found;
  }
  return '';
}
