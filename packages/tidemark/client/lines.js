// Points as line protocol.

/**
 * A point. A `number` of `fields` is a float, a `bigint` an integer, whatever the number looks like; what is null
 * or undefined is left out, as are tags without text. `time` is a `Date`, or nanoseconds as a `bigint`; without one
 * it is the time of the call.
 *
 * @typedef {object} Point
 * @property {string} measurement
 * @property {Record<string, string | number | boolean | null | undefined>} [tags]
 * @property {Record<string, number | bigint | string | boolean | null | undefined>} fields
 * @property {Date | bigint} [time]
 */

/** What a measurement's name escapes, and what tags and the names of fields do. */
const [inMeasurement, inKey] = [/[, ]/g, /[, =]/g];

/** A name or a tag's value; throws for what line protocol cannot say. */
function name(text, special, what) {
  if (text === '' || /[\n\r]/.test(text) || text.endsWith('\\')) {
    throw new TypeError(`${what} ${JSON.stringify(text)} is empty, has a line break, or ends with a backslash`);
  }
  return text.replace(special, '\\$&');
}

const integerMax = 2n ** 63n - 1n;

/** A field's value, as its type is written. */
function value(key, given) {
  if (typeof given === 'number' && Number.isFinite(given)) return String(given);
  if (typeof given === 'bigint' && given >= -integerMax - 1n && given <= integerMax) return `${given}i`;
  if (typeof given === 'boolean') return String(given);
  if (typeof given === 'string') return `"${given.replace(/["\\]/g, '\\$&')}"`;
  throw new TypeError(`field ${JSON.stringify(key)} is ${String(given)}: a finite number, a bigint of 64 bits, a text or a boolean is expected`);
}

/** Nanoseconds of a time. */
function nanoseconds(time) {
  if (typeof time === 'bigint') return time;
  if (time instanceof Date && !Number.isNaN(time.getTime())) return BigInt(time.getTime()) * 1_000_000n;
  throw new TypeError(`time is ${String(time)}: a Date, or nanoseconds as a bigint, is expected`);
}

const present = (record = {}) => Object.entries(record).filter(([, given]) => given !== null && given !== undefined);

/**
 * The line of a point; `now()` gives the nanoseconds of one without a time.
 *
 * @param {Point} point
 * @param {() => bigint} now
 */
export function lineOf({ measurement, tags, fields, time }, now) {
  if (measurement.startsWith('#')) throw new TypeError('a measurement cannot begin with #: its lines would be comments');
  const tagPairs = present(tags).filter(([, given]) => given !== '');
  const tagText = tagPairs.map(([key, given]) => `,${name(key, inKey, 'tag')}=${name(String(given), inKey, `value of tag ${key}`)}`);
  const fieldText = present(fields).map(([key, given]) => `${name(key, inKey, 'field')}=${value(key, given)}`);
  if (fieldText.length === 0) throw new TypeError(`a point of ${measurement} has no field`);
  const when = time === undefined || time === null ? now() : nanoseconds(time);
  return `${name(measurement, inMeasurement, 'measurement')}${tagText.join('')} ${fieldText.join(',')} ${when}`;
}
