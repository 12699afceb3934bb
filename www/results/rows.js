// A reply of SQL, which is a list of rows as objects, as the table and the lines that InfluxQL's are.
// A key is left out of a row where its value is NULL.

/** What the server writes for a time; without a zone it is UTC. */
const timeText = /^(-?\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)?$/;

/** An integer that came as text. */
const longInteger = /^-?\d{16,20}$/;

/** The names of all columns, in an order that every row has them in. */
function columnsOf(rows) {
  const columns = [];
  const known = new Set();
  for (const row of rows) {
    let before = null;
    for (const name of Object.keys(row)) {
      if (!known.has(name)) {
        known.add(name);
        columns.splice(before === null ? 0 : columns.indexOf(before) + 1, 0, name);
      }
      before = name;
    }
  }
  return columns;
}

/** `time`, `number`, `text`, or `other` for what is neither drawn nor named. */
function kindOfValue(value) {
  if (typeof value === 'number') return 'number';
  if (typeof value !== 'string') return 'other';
  if (timeText.test(value)) return 'time';
  return longInteger.test(value) ? 'number' : 'text';
}

/** The kind of a column: what all values are that are there. */
function kindOf(rows, name) {
  let kind = null;
  for (const row of rows) {
    const value = row[name];
    if (value === undefined || value === null) continue;
    const one = kindOfValue(value);
    if (kind !== null && kind !== one) return 'text';
    kind = one;
  }
  return kind ?? 'other';
}

/** A list or a struct is shown as JSON. */
const cellOf = (value) => (value !== null && typeof value === 'object' ? JSON.stringify(value) : (value ?? null));

/** As `tablesOf` of `tables.js`: no table where there are no rows. */
export function tableOfRows(reply) {
  if (reply.length === 0) return { tables: [], errors: [] };
  const columns = columnsOf(reply);
  const kinds = columns.map((name) => kindOf(reply, name)).map((kind) => (kind === 'other' ? 'text' : kind));
  const rows = reply.map((row) => columns.map((name) => cellOf(row[name])));
  return { tables: [{ title: '1', columns, kinds, rows }], errors: [] };
}

/** Milliseconds since 1970; what is finer is cut off. */
function msOf(text) {
  const [, seconds, fraction = '', zone = 'Z'] = timeText.exec(text);
  return Date.parse(`${seconds}${fraction.slice(0, 4)}${zone}`);
}

/**
 * The rows as a reply of `/query` with `epoch=ms`, for drawing: times are those of `time`, or of the
 * first column of times; a series for each set of the texts, in the order of time.
 */
export function seriesOfRows(rows) {
  const kinds = new Map(columnsOf(rows).map((name) => [name, kindOf(rows, name)]));
  const of = (wanted) => [...kinds].filter(([, kind]) => kind === wanted).map(([name]) => name);
  const times = of('time');
  const time = times.includes('time') ? 'time' : times[0];
  // Of rows without times it is said how many there are.
  if (time === undefined) return { results: [{ series: [{ columns: [], values: rows }] }] };
  const [texts, numbers] = [of('text'), of('number')];
  const series = new Map();
  for (const row of rows) {
    if (row[time] === undefined) continue;
    const key = JSON.stringify(texts.map((name) => row[name]));
    if (!series.has(key)) {
      const tags = Object.fromEntries(texts.map((name) => [name, row[name] ?? '']));
      series.set(key, { tags, columns: ['time', ...numbers], values: [] });
    }
    series.get(key).values.push([msOf(row[time]), ...numbers.map((name) => row[name] ?? null)]);
  }
  const all = [...series.values()];
  for (const { values } of all) values.sort(([a], [b]) => a - b);
  return { results: [{ series: all }] };
}
