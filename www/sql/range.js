// A time range in SQL. Only where $timeFilter stands: nobody here can read a statement of SQL well
// enough to know where else a condition belongs.

import { wordsOf } from './words.js';

const isFilter = ({ kind, text }) => kind === 'variable' && /^\$(__)?timeFilter$/.test(text);
const isInterval = ({ kind, text }) => kind === 'variable' && /^\$(__)?interval$/.test(text);

const time = (ms) => `'${new Date(ms).toISOString()}'`;

/** Whether a range has a place in `text`. */
export const takesRange = (text) => wordsOf(text).some(isFilter);

/**
 * `text` with a condition for `$timeFilter`, and with a 200th of the range, an INTERVAL, for `$interval`.
 * Without limits they are `true` and a day.
 */
export function withRange(text, limits) {
  const condition = limits ? `(time >= ${time(limits.from_ms)} AND time < ${time(limits.to_ms)})` : 'true';
  const step_s = limits ? Math.max(1, Math.ceil((limits.to_ms - limits.from_ms) / 200_000)) : 86_400;
  return wordsOf(text)
    .map((word) => {
      if (isFilter(word)) return condition;
      return isInterval(word) ? `INTERVAL '${step_s} seconds'` : word.text;
    })
    .join('');
}
