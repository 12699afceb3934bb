// The queries for the month of data that `month` in lines.mjs generates.

import { dayS, startS } from './lines.mjs';

export const days = 30;

const endS = startS + days * dayS;

/** Returns the condition that selects the last seconds of the month. */
export const last = (seconds) => `time >= ${endS - seconds}s AND time < ${endS}s`;

export const questions = {
  'last hour of one host': `SELECT v FROM m WHERE host = 'h421' AND ${last(3600)}`,
  'last day by host': `SELECT mean(v) FROM m WHERE ${last(dayS)} GROUP BY host`,
  'last point of all series': 'SELECT * FROM m GROUP BY * ORDER BY time DESC LIMIT 1',
  'tag values': 'SHOW TAG VALUES FROM m WITH KEY = host',
  'count(*) of the month': 'SELECT count(*) FROM m',
};
