// Changes the timestamps of points with the same time, so that 1.x must read the points in a
// defined order. Tries several orders, because the order in which 1.x read the original points is
// unknown.

import { groupBy, head, resultsOf, seriesOf } from './answers.mjs';
import { escape } from './data.mjs';
import { callOf, dimensionsOf, fieldsOf, isWindow, statement, windowOf } from './statement.mjs';
import { scratch } from './stored.mjs';

/**
 * The time in nanoseconds by which points of other measurements are moved, if they are less than
 * 100 ns after a full second. Without this shift, they would look like points that were moved
 * apart.
 */
const OTHERS_NS = 200n;
/**
 * The shift of a time bound at a full second, in nanoseconds. The shifted bound is later than all
 * moved points.
 */
const BOUND_NS = 150;
/** The maximum relative change of a result that moving the points may cause. */
const TOLERANCE = 1e-7;

const orders = {
  own: (one, other) => one.place - other.place,
  'series+': () => 0,
  'series-': (one, other) => other.number - one.number,
};
const byField = (field, sign) => (one, other) => {
  const [left, right] = [value(one.fields[field]), value(other.fields[field])];
  return left < right ? -sign : left > right ? sign : 0;
};
/**
 * Points with equal values stay in the order of Tidemark's response, or are in the reverse order.
 */
const compare = ([field, direction, turned]) => (one, other) =>
  byField(field, direction === '+' ? 1 : -1)(one, other) || (turned ? other.place - one.place : one.place - other.place);

function value(text) {
  if (text === undefined) return 0;
  if (text.startsWith('"')) return text;
  return text === 'true' ? 1 : text === 'false' ? 0 : Number.parseFloat(text);
}

/**
 * Returns whether the real server agrees with Tidemark if points that have the same time are stored
 * one nanosecond apart. Tries several orders of these points.
 */
export async function untied({ text, parts, env, isOurs, isSame }) {
  for (const order of ordersOf(text)) {
    const database = await databaseOf(env, order);
    const asked = text
      .replaceAll(/\btime (?:<=|>) (?:'[^']*'|\w+)(?: [-+] \w+)*/g, `$& + ${BOUND_NS}ns`)
      .replaceAll(/\bdb\.(?=\.|autogen)/g, `${database}.`);
    const [status, body] = await env.real(asked, database);
    const answer = [status, body.replaceAll(/\b(1[56]\d{8})(\d{9})\b/g, tiedAgain)];
    if (isOurs(answer, TOLERANCE)) return true;
    if (/^SELECT integral\(/.test(text) && isSame(await withoutLastPoint(env.parsed(answer), parts, env), TOLERANCE)) return true;
  }
  return false;
}

/**
 * Removes the row at the time of each series' last point. If several points have this time, the
 * area below them is zero, and 1.x omits the row.
 */
async function withoutLastPoint(document, parts, { real, parsed }) {
  const field = callOf(fieldsOf(parts)[0].expression)?.first;
  if (!document || !field || !windowOf(parts)) return undefined;
  const tags = dimensionsOf(parts).filter((one) => !isWindow(one)).join(', ');
  const raw = parsed(await real(statement({ ...parts, SELECT: field, 'GROUP BY': tags, fill: '', 'ORDER BY': '' })));
  const lasts = new Map(seriesOf(raw).map((series) => [head(series), series.get('values').at(-1)[0].text]));
  for (const result of resultsOf(document)) {
    const left = (result.get('series') ?? []).filter((series) => {
      const values = series.get('values');
      if (values.at(-1)[0].text === lasts.get(head(series))) values.pop();
      return values.length > 0;
    });
    if (left.length > 0) result.set('series', left);
    else result.delete('series');
  }
  return document;
}

const tiedAgain = (_, seconds, ns) => {
  const part = Number(ns);
  const own = part < 100 ? 0 : part >= 200 && part < 300 ? part - 200 : part;
  return seconds + String(own).padStart(9, '0');
};

/**
 * Returns the orders to try: by series, by the values of one field, and by each field separately.
 */
function ordersOf(text) {
  const taken = [...text.matchAll(/\b(first|last|\w+)\((\w)[,)]/g)].filter(([, , field]) => 'fgijbs'.includes(field));
  const sign = (name) => (name === 'first' ? '-' : '+');
  const each = [...new Set(taken.map(([, name, field]) => `${field}${sign(name)}`))];
  const others = each.map((one) => one[0] + (one[1] === '+' ? '-' : '+'));
  return [...new Set(['own', each.join(), ...each, ...each.map((one) => `${one}r`), ...others, ...Object.keys(orders)])].filter(Boolean);
}

const known = new WeakMap();

/** Creates the database on the first call. */
async function databaseOf(env, order) {
  if (!known.has(env.data)) known.set(env.data, new Map());
  const made = known.get(env.data);
  if (!made.has(order)) {
    const database = scratch();
    made.set(order, database);
    await env.real(`CREATE DATABASE ${database} WITH DURATION INF`);
    for (const measurement of env.data.measurements) {
      const { aligned, lines } = measurement;
      await env.write(database, aligned ? spread(lines, order, await placesOf(measurement, env)) : lines.map(aside));
    }
    await env.write(database, env.data.days);
  }
  return made.get(order);
}

function aside(line) {
  const at = line.lastIndexOf(' ') + 1;
  const time = BigInt(line.slice(at));
  const part = time % 1_000_000_000n;
  return part > 0n && part < 100n ? line.slice(0, at) + (time + OTHERS_NS) : line;
}

/**
 * Returns the position of each point among the points with the same time in Tidemark's response.
 */
async function placesOf({ name, tags }, env) {
  const places = new Map();
  for (const series of seriesOf(env.parsed(await env.own(`SELECT * FROM "${name}"`)))) {
    const columns = series.get('columns');
    for (const [place, row] of series.get('values').entries()) {
      const known = tags.map((tag) => [tag, row[columns.indexOf(tag)]]).filter(([, value]) => value);
      const key = [escape(name), ...known.map(([tag, value]) => `${tag}=${escape(value)}`)].join(',');
      places.set(`${key} ${row[0].text}`, place);
    }
  }
  return places;
}

function spread(lines, order, places) {
  const points = lines.map((line) => {
    const [, series, fields, time] = /^((?:\\.|[^ \\])+) (.*) (\d+)$/.exec(line);
    return { series, time, fields: Object.fromEntries(fields.split(',').map((one) => one.split(/=(.*)/s))) };
  });
  const names = [...new Set(points.map(({ series }) => series))].sort();
  for (const point of points) {
    point.number = names.indexOf(point.series);
    point.place = places.get(`${point.series} ${point.time}`);
  }
  const times = groupBy(points, ({ time }) => time);
  return [...times].flatMap(([time, tied]) => {
    const sorted = tied.toSorted((one, other) => one.number - other.number);
    // If `order` contains an order for each field, each field is stored as a separate point.
    if (order.includes(',')) return order.split(',').flatMap((one) => placed(sorted, one, time, one[0])).concat(others(sorted, order, time));
    return placed(sorted, order, time);
  });
}

/** Returns the points, or one field of each point, with times one nanosecond apart. */
function placed(points, order, time, only) {
  return points.toSorted(orders[order] ?? compare(order)).flatMap(({ series, fields }, at) => {
    const shown = Object.entries(fields).filter(([name]) => only === undefined || name === only);
    return shown.length === 0 ? [] : [`${series} ${shown.map((one) => one.join('=')).join(',')} ${BigInt(time) + BigInt(at)}`];
  });
}

function others(points, order, time) {
  const named = order.split(',').map(([field]) => field);
  return points.flatMap(({ series, fields }) => {
    const shown = Object.entries(fields).filter(([name]) => !named.includes(name));
    return shown.length === 0 ? [] : [`${series} ${shown.map((one) => one.join('=')).join(',')} ${time}`];
  });
}
