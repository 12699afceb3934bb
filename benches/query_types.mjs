// The fifteen query types of TSBS for cpu-only data, in InfluxQL and in SQL. A seed determines the
// parameters.

import { fields, startNs } from './tsbs.mjs';

const startMs = Number(startNs / 1_000_000n);
const hourMs = 3_600_000;

/**
 * The types in TSBS' order. `draw` returns uniformly distributed numbers from 0 to 1. With the same
 * numbers, `text` (InfluxQL) and `sql` query the same rows.
 */
export const types = [
  ...[[1, 1, 1], [1, 1, 12], [1, 8, 1], [5, 1, 1], [5, 1, 12], [5, 8, 1]].map(
    ([metrics, hosts, hours]) => ({
      name: `single-groupby-${metrics}-${hosts}-${hours}`,
      text: (data) => single(data, metrics, hosts, hours),
      sql: (data) => binned('minute', calls('max', metrics), ofHosts(data, hosts, hours)),
    }),
  ),
  ...[1, 8].map((hosts) => ({
    name: `cpu-max-all-${hosts}`,
    text: (data) => maxAll(data, hosts),
    sql: (data) => binned('hour', calls('max', fields.length), ofHosts(data, hosts, 8)),
  })),
  ...[['1', 1], ['5', 5], ['all', 10]].map(([name, metrics]) => ({
    name: `double-groupby-${name}`,
    slow: true,
    text: (data) => double(data, metrics),
    sql: (data) => binned('hour', calls('avg', metrics), during(window(data, 12)), 'hostname'),
  })),
  { name: 'high-cpu-1', text: (data) => highCpu(data, 1), sql: (data) => highCpu(data, 1) },
  {
    name: 'high-cpu-all',
    slow: true,
    text: (data) => highCpu(data, 0),
    sql: (data) => highCpu(data, 0),
  },
  {
    name: 'lastpoint',
    text: () => 'SELECT * FROM cpu GROUP BY "hostname" ORDER BY time DESC LIMIT 1',
    sql: () => 'SELECT DISTINCT ON (hostname) * FROM cpu ORDER BY hostname, time DESC',
  },
  { name: 'groupby-orderby-limit', text: orderedLimit, sql: orderedLimitSql },
];

function ofHosts(data, hosts, hours) {
  return `${someHosts(data, hosts)} AND ${during(window(data, hours))}`;
}

function single(data, metrics, hosts, hours) {
  const where = ofHosts(data, hosts, hours);
  return `SELECT ${calls('max', metrics)} FROM cpu WHERE ${where} GROUP BY time(1m)`;
}

function maxAll(data, hosts) {
  const where = ofHosts(data, hosts, 8);
  return `SELECT ${calls('max', fields.length)} FROM cpu WHERE ${where} GROUP BY time(1h)`;
}

function double(data, metrics) {
  const what = calls('mean', metrics);
  return `SELECT ${what} FROM cpu WHERE ${during(window(data, 12))} GROUP BY time(1h),"hostname"`;
}

/**
 * Returns a SQL query with one aggregate for each time bin. With `tag`, there is one aggregate for
 * each time bin and tag value.
 */
function binned(unit, what, where, tag) {
  const keys = tag ? `, ${tag}` : '';
  const bin = `date_bin(INTERVAL '1 ${unit}', time) AS bin`;
  const order = `GROUP BY bin${keys} ORDER BY bin${keys}`;
  return `SELECT ${bin}${keys}, ${what} FROM cpu WHERE ${where} ${order}`;
}

function highCpu(data, hosts) {
  const where = hosts > 0 ? ` AND ${someHosts(data, hosts)}` : '';
  return `SELECT * FROM cpu WHERE usage_user > 90.0${where} AND ${during(window(data, 12))}`;
}

function orderedLimit(data) {
  const [, end] = window(data, 1);
  const what = 'SELECT max(usage_user) FROM cpu';
  return `${what} WHERE time < '${end}' GROUP BY time(1m) ORDER BY time DESC LIMIT 5`;
}

function orderedLimitSql(data) {
  const [, end] = window(data, 1);
  return `${binned('minute', 'max(usage_user)', `time < '${end}'`)} DESC LIMIT 5`;
}

function calls(name, metrics) {
  return fields.slice(0, metrics).map((field) => `${name}(${field})`).join(',');
}

/**
 * Returns a random time range with the wanted number of hours, or the range of all data if it has
 * fewer hours.
 */
export function window({ draw, hours }, wanted) {
  const length = Math.min(wanted, hours) * hourMs;
  const start = startMs + Math.floor((draw() * (hours * hourMs - length)) / 1000) * 1000;
  return [start, start + length].map((ms) => new Date(ms).toISOString().replace('.000', ''));
}

export function during([start, end]) {
  return `time >= '${start}' AND time < '${end}'`;
}

export function someHosts({ draw, hosts }, wanted) {
  const chosen = new Set();
  while (chosen.size < Math.min(wanted, hosts)) chosen.add(Math.floor(draw() * hosts));
  return `(${[...chosen].map((host) => `hostname = 'host_${host}'`).join(' OR ')})`;
}

export const oneHost = (data) => someHosts(data, 1);
