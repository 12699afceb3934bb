// Converts points to line protocol.

/**
 * A point. In `fields`, a `number` becomes a float, even if it is whole, and a `bigint` becomes an
 * integer. The line omits fields that are null or undefined, and tags with an empty text. `time` is
 * a `Date`, or nanoseconds as a `bigint`. The default is the time of the call.
 *
 * @typedef {object} Point
 * @property {string} measurement
 * @property {Record<string, string | number | boolean | null | undefined>} [tags]
 * @property {Record<string, number | bigint | string | boolean | null | undefined>} fields
 * @property {Date | bigint} [time]
 */

/** The characters that must be escaped. The others are escaped only after a backslash, because InfluxDB 3 does not remove their escapes. */
const [inMeasurement, inTag, inField] = [/[, ]|(?<=\\)["=]/g, /[, =]/g, /[, =]|(?<=\\)"/g];

/** Throws if line protocol cannot represent the text. */
function name(text, special, what) {
  if (text === '' || /[\n\r]/.test(text) || text.endsWith('\\')) {
    throw new TypeError(`${what} ${JSON.stringify(text)} is empty, contains a line break, or ends with a backslash`);
  }
  return text.replace(special, '\\$&');
}

const integerMax = 2n ** 63n - 1n;

function value(key, given) {
  if (typeof given === 'number' && Number.isFinite(given)) return String(given);
  if (typeof given === 'bigint' && given >= -integerMax - 1n && given <= integerMax) return `${given}i`;
  if (typeof given === 'boolean') return String(given);
  if (typeof given === 'string') return `"${given.replace(/["\\]/g, '\\$&')}"`;
  throw new TypeError(`field ${JSON.stringify(key)} is ${String(given)}: expected a finite number, a 64-bit bigint, a string or a boolean`);
}

function nanoseconds(time) {
  if (typeof time === 'bigint') return time;
  if (time instanceof Date && !Number.isNaN(time.getTime())) return BigInt(time.getTime()) * 1_000_000n;
  throw new TypeError(`time is ${String(time)}: expected a Date, or nanoseconds as a bigint`);
}

const present = (record = {}) => Object.entries(record).filter(([, given]) => given !== null && given !== undefined);

/**
 * `now()` returns the time for points without a time, in nanoseconds.
 * @param {Point} point
 * @param {() => bigint} now
 */
export function lineOf({ measurement, tags, fields, time }, now) {
  if (measurement.startsWith('#')) throw new TypeError('a measurement cannot begin with #, because a line that begins with # is a comment');
  const tagPairs = present(tags).filter(([, given]) => given !== '');
  const tagText = tagPairs.map(([key, given]) => `,${name(key, inTag, 'tag')}=${name(String(given), inTag, `value of tag ${key}`)}`);
  const fieldText = present(fields).map(([key, given]) => `${name(key, inField, 'field')}=${value(key, given)}`);
  if (fieldText.length === 0) throw new TypeError(`a point of ${measurement} has no field`);
  const when = time === undefined || time === null ? now() : nanoseconds(time);
  return `${name(measurement, inMeasurement, 'measurement')}${tagText.join('')} ${fieldText.join(',')} ${when}`;
}
