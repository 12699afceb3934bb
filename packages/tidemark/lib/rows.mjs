// Converts SQL rows to line protocol. The rows are JSON lines, as returned by `query_sql` of
// InfluxDB 3 and of Tidemark.

import { Sentence } from './command.mjs';
import { textLines } from './dump.mjs';

/**
 * Matches `2026-01-31T12:00:00.000000001`, with an optional time zone whose default is UTC. DuckDB
 * writes a space instead of the T.
 */
const timeText = /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d(?::?\d\d)?)?$/;

/** Returns a text's nanoseconds since 1970, or null. */
export function nanoseconds(text) {
  const found = timeText.exec(text);
  if (!found) return null;
  const [year, month, day, hour, minute, second] = found.slice(1, 7).map(Number);
  const [, sign, hours = 0, minutes = 0] = /^([+-])(\d\d):?(\d\d)?$/.exec(found[8] ?? '') ?? [];
  const zone_minutes = (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes));
  const ms = Date.UTC(year, month - 1, day, hour, minute - zone_minutes, second);
  return BigInt(ms) * 1_000_000n + BigInt((found[7] ?? '').padEnd(9, '0'));
}

const escapedName = (text) => text.replace(/[,= ]/g, '\\$&');
const escapedMeasurement = (text) => text.replace(/[, ]/g, '\\$&');

/** A JSON number in its original notation, so that no digits are lost. */
class Digits {
  constructor(source) {
    this.source = source;
  }
}

/** @type {any} Node passes the context since version 21 */
const reviver = (_, value, context) => (typeof value === 'number' ? new Digits(context.source) : value);

function needsSource() {
  let source;
  /** @type {any} */
  const look = (_, value, context) => ((source = context?.source), value);
  JSON.parse('1', look);
  if (source !== '1') throw new Sentence('Only Node 22 or newer reads all digits of numbers in JSON rows.');
}

/**
 * Returns a field's value in line protocol. A number with a point or an exponent is a float, any
 * other number an integer.
 */
function fieldOf(value) {
  if (value instanceof Digits) return /[.eE]/.test(value.source) ? value.source : `${value.source}i`;
  if (typeof value === 'string') return `"${value.replace(/["\\]/g, '\\$&')}"`;
  return typeof value === 'boolean' ? String(value) : null;
}

/**
 * Converts a row to a line. `shape` is `{ measurement, tags }`. All columns except `time` and those
 * in `tags` are fields. Throws a [Sentence] for an invalid row.
 */
export function lineOf(text, { measurement, tags }) {
  let row;
  try {
    row = JSON.parse(text, reviver);
  } catch {
    throw new Sentence('the line is not JSON: export the rows with format=jsonl');
  }
  if (row === null || typeof row !== 'object' || Array.isArray(row)) throw new Sentence('the line is not a JSON object: export the rows with format=jsonl');
  const time = typeof row.time === 'string' ? nanoseconds(row.time) : null;
  if (time === null) throw new Sentence('the row has no time in column `time`');
  const named = tags.filter((name) => row[name] !== undefined && row[name] !== null && row[name] !== '');
  const key = [escapedMeasurement(measurement)];
  for (const name of [...named].sort()) {
    if (typeof row[name] !== 'string') throw new Sentence(`the tag ${name} is not a string`);
    key.push(`${escapedName(name)}=${escapedName(row[name])}`);
  }
  const fields = Object.entries(row)
    .filter(([name, value]) => name !== 'time' && !tags.includes(name) && value !== null)
    .map(([name, value]) => {
      const field = fieldOf(value);
      if (field === null) throw new Sentence(`the column ${name} is not a number, string or boolean`);
      return `${escapedName(name)}=${field}`;
    });
  if (fields.length === 0) throw new Sentence('the row has no field: name only tag columns with --tags');
  return `${key.join(',')} ${fields.join(',')} ${time}`;
}

/**
 * Yields the rows of a file in the format of `dumpItems`.
 *
 * @returns {AsyncGenerator<import('./dump.mjs').Item>}
 */
export async function* rowItems(path, count, shape) {
  needsSource();
  for await (const line of textLines(path, count)) {
    count.lines += 1;
    if (line.trim() === '') continue;
    let text;
    try {
      text = lineOf(line, shape);
    } catch (error) {
      if (!(error instanceof Sentence)) throw error;
      throw new Sentence(`line ${count.lines} cannot be imported: ${error.message}`);
    }
    yield { number: count.lines, text, begins: true };
  }
}
