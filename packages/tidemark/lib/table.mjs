// Formats rows as a text table.

/** These characters would shift the columns, so the table contains their JSON escapes. */
const unprintable = /[\p{Cc}\p{Zl}\p{Zp}]/gu;

const shown = (value) => {
  if (value === null || value === undefined) return '';
  return String(value).replace(unprintable, (found) => JSON.stringify(found).slice(1, -1));
};

/** Numbers are right-aligned. */
function tableLines(head, rows) {
  const cells = [head, ...rows].map((row) => row.map(shown));
  const widths = head.map((_, column) => Math.max(...cells.map((row) => [...row[column]].length)));
  const isNumber = (value) => value === null || typeof value === 'number' || typeof value === 'bigint';
  const isNumeric = head.map((_, column) => rows.length > 0 && rows.every((row) => isNumber(row[column])));
  const line = (row) =>
    row
      .map((text, column) => {
        const space = ' '.repeat(widths[column] - [...text].length);
        return isNumeric[column] ? space + text : text + space;
      })
      .join('  ')
      .trimEnd();
  const [first, ...rest] = cells;
  return [line(first), line(widths.map((width) => '-'.repeat(width))), ...rest.map(line)];
}

export function printTable(head, rows) {
  for (const line of tableLines(head, rows)) console.log(line);
}
