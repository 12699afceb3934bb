// Formats rows as a text table.

/**
 * The characters that the table replaces with JSON escapes, because they would shift the columns.
 */
const unprintable = /[\p{Cc}\p{Zl}\p{Zp}]/gu;

const shown = (value) => {
  if (value === null || value === undefined) return '';
  return String(value).replace(unprintable, (found) => JSON.stringify(found).slice(1, -1));
};

/** Returns the lines of a table, in which numbers are right-aligned. */
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
