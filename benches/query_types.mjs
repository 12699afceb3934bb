// The fifteen TSBS query types over cpu-only data, as InfluxQL, with parameters from a seed.

import { fields, startNs } from './tsbs.mjs';

const startMs = Number(startNs / 1_000_000n);
const hourMs = 3_600_000;

/**
 * The types in TSBS' order: name, queries measured, and the text of the next query, given
 * `{ draw, hosts, hours }` (uniform numbers in 0..1, and what the data hold).
 */
export const types = [
  ...[[1, 1, 1], [1, 1, 12], [1, 8, 1], [5, 1, 1], [5, 1, 12], [5, 8, 1]].map((shape) => ({
    name: `single-groupby-${shape.join('-')}`,
    text: (data) => single(data, ...shape),
  })),
  ...[1, 8].map((hosts) => ({
    name: `cpu-max-all-${hosts}`,
    text: (data) => maxAll(data, hosts),
  })),
  ...[['1', 1], ['5', 5], ['all', 10]].map(([name, metrics]) => ({
    name: `double-groupby-${name}`,
    slow: true,
    text: (data) => double(data, metrics),
  })),
  { name: 'high-cpu-1', text: (data) => highCpu(data, 1) },
  { name: 'high-cpu-all', slow: true, text: (data) => highCpu(data, 0) },
  {
    name: 'lastpoint',
    text: () => 'SELECT * FROM cpu GROUP BY "hostname" ORDER BY time DESC LIMIT 1',
  },
  { name: 'groupby-orderby-limit', text: orderedLimit },
];

function single(data, metrics, hosts, hours) {
  const where = `${someHosts(data, hosts)} AND ${during(window(data, hours))}`;
  return `SELECT ${calls('max', metrics)} FROM cpu WHERE ${where} GROUP BY time(1m)`;
}

function maxAll(data, hosts) {
  const where = `${someHosts(data, hosts)} AND ${during(window(data, 8))}`;
  return `SELECT ${calls('max', fields.length)} FROM cpu WHERE ${where} GROUP BY time(1h)`;
}

function double(data, metrics) {
  const what = calls('mean', metrics);
  return `SELECT ${what} FROM cpu WHERE ${during(window(data, 12))} GROUP BY time(1h),"hostname"`;
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

function calls(name, metrics) {
  return fields.slice(0, metrics).map((field) => `${name}(${field})`).join(',');
}

/** So many hours (or all that there are) somewhere inside the data. */
function window({ draw, hours }, wanted) {
  const length = Math.min(wanted, hours) * hourMs;
  const start = startMs + Math.floor((draw() * (hours * hourMs - length)) / 1000) * 1000;
  return [start, start + length].map((ms) => new Date(ms).toISOString().replace('.000', ''));
}

function during([start, end]) {
  return `time >= '${start}' AND time < '${end}'`;
}

function someHosts({ draw, hosts }, wanted) {
  const chosen = new Set();
  while (chosen.size < Math.min(wanted, hosts)) chosen.add(Math.floor(draw() * hosts));
  return `(${[...chosen].map((host) => `hostname = 'host_${host}'`).join(' OR ')})`;
}
