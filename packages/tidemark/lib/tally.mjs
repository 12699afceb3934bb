// Counts the field values and the time range of each measurement in a file of line protocol.

/**
 * The maximum number of measurements with separate sums. The values of further measurements are
 * only counted.
 */
export const measurementsMax = 10_000;

/**
 * Matches the escapes in a measurement's name. A backslash before any other character is literal.
 */
const escaped = /\\([, \\])/g;

/** The length of each timestamp unit in nanoseconds. */
export const unitNs = { ns: 1n, u: 1_000n, ms: 1_000_000n, s: 1_000_000_000n, m: 60_000_000_000n, h: 3_600_000_000_000n };

/**
 * Returns the position of the first unescaped character of `letters` in `text`, starting at `at`,
 * or the text's length.
 */
function unescaped(text, letters, at) {
  let here = at;
  while (here < text.length && !letters.includes(text[here])) here += text[here] === '\\' ? 2 : 1;
  return Math.min(here, text.length);
}

/**
 * Returns `{ measurement, values, time }` of a point, or null for any other text. `time` is null
 * without a timestamp.
 */
export function pointOf(text) {
  const named = unescaped(text, ', ', 0);
  let at = unescaped(text, ' ', named);
  if (at === text.length) return null;
  let values = 1;
  let isText = false;
  for (at += 1; at < text.length; at += 1) {
    const letter = text[at];
    if (letter === '\\') at += 1;
    else if (letter === '"') isText = !isText;
    else if (letter === ',' && !isText) values += 1;
    else if (letter === ' ' && !isText) break;
  }
  const time = text.slice(at).trim();
  if (time !== '' && !/^-?\d+$/.test(time)) return null;
  return { measurement: text.slice(0, named).replace(escaped, '$1'), values, time: time === '' ? null : BigInt(time) };
}

/** The sums of a file. */
export class Tally {
  #sums = new Map();
  #open = '';
  #place = { database: '', policy: '' };
  /** The number of values in measurements beyond the first [measurementsMax]. */
  others = 0;

  /** @param {string} precision the precision of the timestamps */
  constructor(precision) {
    this.unit = unitNs[precision] ?? 1n;
  }

  /** Adds a line of the file. `begins` is whether a point starts with the line. */
  take(text, begins, { database, policy }) {
    if (begins) this.#close();
    this.#open = begins ? text : `${this.#open}\n${text}`;
    this.#place = { database, policy };
  }

  #close() {
    const point = this.#open === '' ? null : pointOf(this.#open);
    this.#open = '';
    if (!point) return;
    const { measurement, values, time } = point;
    const key = JSON.stringify([this.#place.database, this.#place.policy, measurement]);
    let sum = this.#sums.get(key);
    if (!sum && this.#sums.size === measurementsMax) {
      this.others += values;
      return;
    }
    if (!sum) this.#sums.set(key, (sum = { ...this.#place, measurement, values: 0, first: null, last: null, isTimed: true }));
    sum.values += values;
    if (time === null) sum.isTimed = false;
    else {
      if (sum.first === null || time < sum.first) sum.first = time;
      if (sum.last === null || time > sum.last) sum.last = time;
    }
  }

  /**
   * Returns `{ database, policy, measurement, values, first_ns, last_ns }` of each measurement.
   * Both times are null if a line has no time, because the server then assigned its own.
   */
  sums() {
    this.#close();
    return [...this.#sums.values()].map(({ first, last, isTimed, ...sum }) => ({
      ...sum,
      first_ns: isTimed ? first * this.unit : null,
      last_ns: isTimed ? last * this.unit : null,
    }));
  }
}
