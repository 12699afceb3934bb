// Runs every function and every clause of InfluxQL once with the data of the TSBS types. Finds
// queries that are slower than in InfluxDB but occur in no TSBS type.

import { during, oneHost, someHosts, window } from './query_types.mjs';

/** A query with windows of five minutes, over one host and twelve hours. */
const windows = (call, more = '') => ({
  text: (data) =>
    `SELECT ${call} FROM cpu WHERE ${oneHost(data)} AND ${during(window(data, 12))} GROUP BY time(5m)${more}`,
});

const rows = (what, { more = '', where = '', hours = 1 } = {}) => ({
  text: (data) =>
    `SELECT ${what} FROM cpu WHERE ${oneHost(data)}${where} AND ${during(window(data, hours))}${more}`,
});

const ofAll = (name, hours, text) => ({
  name, slow: true, text: (data) => text(during(window(data, hours))),
});

/** InfluxDB 1.x selects one of several equally frequent values with an unstable sort. */
const occurrences = (text, time, value) =>
  text.replace('mode(', 'count(').replace(' GROUP BY time(5m)', ` AND usage_user = ${value} AND time >= '${time}' AND time < '${time}' + 5m`);

const aggregates = ['count', 'sum', 'mean', 'median', 'spread', 'stddev', 'distinct', 'integral'];
const selectors = [
  'first(usage_user)', 'last(usage_user)', 'min(usage_user)', 'max(usage_user)',
  'percentile(usage_user, 90)', 'top(usage_user, 3)', 'bottom(usage_user, 3)',
];
const transformations = [
  'derivative(usage_user, 1s)', 'non_negative_derivative(usage_user, 1s)', 'difference(usage_user)',
  'non_negative_difference(usage_user)', 'moving_average(usage_user, 10)', 'cumulative_sum(usage_user)',
  'elapsed(usage_user, 1s)',
];

/**
 * The shapes, in the format of `types` in query_types.mjs. The benchmark does not compare the
 * responses of a shape with `isRandom`. In the responses of a shape with `occurrences`, equally
 * frequent values may differ. `isUnbounded` marks queries without a time range.
 */
export const shapes = [
  ...aggregates.map((name) => ({ name, ...windows(`${name}(usage_user)`) })),
  { name: 'mode', occurrences, ...windows('mode(usage_user)') },
  ...selectors.map((call) => ({ name: call.split('(')[0], ...windows(call) })),
  { name: 'sample', isRandom: true, ...windows('sample(usage_user, 3)') },
  ...transformations.map((call) => ({ name: call.split('(')[0], ...rows(call) })),
  { name: 'holt_winters', ...windows('holt_winters(mean(usage_user), 10, 0)') },
  { name: 'derivative of mean', ...windows('derivative(mean(usage_user), 5m)') },
  { name: 'arithmetic', ...rows('usage_user + usage_system * 2') },
  { name: 'fill(previous)', ...windows('mean(usage_user)', ' fill(previous)') },
  { name: 'fill(linear)', ...windows('mean(usage_user)', ' fill(linear)') },
  { name: 'fill(none)', ...windows('mean(usage_user)', ' fill(none)') },
  { name: 'tz', ...windows('mean(usage_user)', " tz('Europe/Berlin')") },
  { name: 'offset of windows', text: (data) => windows('mean(usage_user)').text(data).replace('(5m)', '(5m, 90s)') },
  { name: 'ORDER BY time DESC LIMIT', ...rows('*', { hours: 12, more: ' ORDER BY time DESC LIMIT 10' }) },
  { name: 'OFFSET', ...rows('usage_user', { hours: 12, more: ' LIMIT 100 OFFSET 3000' }) },
  { name: 'field condition', ...rows('*', { hours: 12, where: ' AND usage_user > 95' }) },
  ofAll('SLIMIT', 1, (range) => `SELECT mean(usage_user) FROM cpu WHERE ${range} GROUP BY hostname SLIMIT 10 SOFFSET 20`),
  ofAll('regex of a tag', 12, (range) => `SELECT max(usage_user) FROM cpu WHERE hostname =~ /^host_[1-3]/ AND ${range} GROUP BY time(1h)`),
  ofAll('regex of fields', 1, (range) => `SELECT mean(/usage_.*/) FROM cpu WHERE ${range} GROUP BY hostname`),
  ofAll('group by region', 12, (range) => `SELECT mean(usage_user) FROM cpu WHERE ${range} GROUP BY time(1h), region`),
  ofAll('subquery', 12, (range) => `SELECT max(m) FROM (SELECT mean(usage_user) AS m FROM cpu WHERE ${range} GROUP BY time(5m), hostname) WHERE ${range} GROUP BY time(1h)`),
  ofAll('subquery of rows', 1, (range) => `SELECT mean(s) FROM (SELECT usage_user + usage_system AS s FROM cpu WHERE ${range}) GROUP BY hostname`),
  ofAll('several measurements', 1, (range) => `SELECT count(usage_user) FROM cpu, warm WHERE ${range} GROUP BY hostname`),
  { name: 'hosts by OR', text: (data) => `SELECT mean(usage_user) FROM cpu WHERE ${someHosts(data, 20)} AND ${during(window(data, 4))} GROUP BY time(10m), hostname` },
  { name: 'rows of one hour of one host', ...rows('*') },
  ofAll('rows of one hour of all hosts', 1, (range) => `SELECT * FROM cpu WHERE ${range}`),
  ofAll('one field of all hosts over four hours', 4, (range) => `SELECT usage_user FROM cpu WHERE ${range}`),
  { ...ofAll('count of everything', 24, () => 'SELECT count(*) FROM cpu'), isUnbounded: true },
  { name: 'SHOW TAG VALUES', text: () => 'SHOW TAG VALUES FROM cpu WITH KEY = hostname' },
  { name: 'SHOW SERIES', text: () => 'SHOW SERIES FROM cpu' },
];
