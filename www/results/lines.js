// Converts a response with `epoch=ms` to the lines of a chart. Each combination of a tag set and a
// numeric column becomes a line.

import { isNumber } from '../api/exact.js';

export const linesMax = 100;

/** The maximum number of points of a line. A line with more points is thinned. */
export const pointsMax = 2000;

/**
 * The maximum number of cells of a chart. Each line has one cell for each time that occurs in any
 * line.
 */
export const cellsMax = 500_000;

/** Returns `{ label, times_ms, values }` for each line. A null value is drawn as a gap. */
export function linesOf(reply) {
  const lines = [];
  for (const { series = [] } of reply.results ?? []) {
    for (const one of series) {
      if (one.columns[0] === 'time') lines.push(...linesOfSeries(one));
    }
  }
  return lines;
}

function linesOfSeries({ name = '', tags, columns, values }) {
  const labels = Object.entries(tags ?? {}).map(([key, value]) => `${key}=${value}`);
  const times_ms = values.map(([time]) => Number(time));
  return columns.slice(1).flatMap((column, before) => {
    const index = before + 1;
    const first = values.find((row) => row[index] !== null);
    if (!first || !isNumber(first[index])) return [];
    const numbers = values.map((row) => (isNumber(row[index]) ? Number(row[index]) : null));
    const label = [name ? `${name}.${column}` : column, ...labels].join(' ');
    return [{ label, times_ms, values: numbers }];
  });
}

function ascending(line) {
  const { times_ms, values } = line;
  if (times_ms.length < 2 || times_ms[0] <= times_ms.at(-1)) return line;
  return { ...line, times_ms: [...times_ms].reverse(), values: [...values].reverse() };
}

/**
 * `columns` contains a list of values for each line, parallel to `times_ms`. Null is a gap.
 * Undefined means that the line has no point at this time. The chart has at most [linesMax] lines.
 * If a line has more than [pointsMax] points, only the minimum and the maximum of each time slice
 * remain. If the chart would exceed [cellsMax], all lines are thinned in this way.
 */
export function chartOf(reply) {
  const all = linesOf(reply);
  const lines = all.slice(0, linesMax).map(ascending);
  const points = all.reduce((sum, line) => sum + line.times_ms.length, 0);
  const grid = gridOf(lines);
  let drawn = lines.map((line) => (line.times_ms.length > pointsMax ? thin(line, grid) : line));
  let times = union(drawn);
  if (times.length * lines.length > cellsMax) {
    drawn = lines.map((line) => thin(line, grid));
    times = union(drawn);
  }
  const place = new Map(times.map((time, index) => [time, index]));
  const columns = drawn.map(({ times_ms, values }) => {
    const column = new Array(times.length).fill(undefined);
    times_ms.forEach((time, index) => (column[place.get(time)] = values[index]));
    return column;
  });
  return {
    labels: drawn.map(({ label }) => label),
    times_ms: times,
    columns,
    total: all.length,
    rows: rowsOf(reply),
    points,
    thinned: lines.some((line, index) => drawn[index].times_ms.length < line.times_ms.length),
    pointsDrawn: drawn.reduce((sum, line) => sum + line.times_ms.length, 0),
  };
}

const rowsOf = ({ results = [] }) =>
  results
    .flatMap(({ series = [] }) => series)
    .reduce((sum, { values = [] }) => sum + values.length, 0);

/**
 * Returns the start and the width of the time slices, which are the same for all lines. Each slice
 * has two points.
 */
function gridOf(lines) {
  let [from, to] = [Infinity, -Infinity];
  for (const { times_ms } of lines) {
    if (times_ms.length === 0) continue;
    from = Math.min(from, times_ms[0]);
    to = Math.max(to, times_ms.at(-1));
  }
  return { from, width: Math.max(1, (to - from + 1) / (pointsMax / 2)) };
}

function union(lines) {
  const times = new Set();
  let last = null;
  for (const { times_ms } of lines) {
    if (times_ms !== last) for (const time of times_ms) times.add(time);
    last = times_ms;
  }
  return Array.from(times).sort((a, b) => a - b);
}

function thin({ label, times_ms, values }, { from, width }) {
  const kept = { label, times_ms: [], values: [] };
  let slice = -1;
  let [least, most] = [null, null];
  const end = () => {
    if (slice < 0) return;
    const at = from + slice * width;
    if (least?.index === most?.index) {
      kept.times_ms.push(at + width / 2);
      kept.values.push(least?.value ?? null);
      return;
    }
    const pair = least.index < most.index ? [least, most] : [most, least];
    kept.times_ms.push(at + width / 4, at + (width * 3) / 4);
    kept.values.push(...pair.map(({ value }) => value));
  };
  values.forEach((value, index) => {
    const next = Math.floor((times_ms[index] - from) / width);
    if (next !== slice) {
      end();
      [slice, least, most] = [next, null, null];
    }
    if (value === null) return;
    if (least === null || value < least.value) least = { value, index };
    if (most === null || value > most.value) most = { value, index };
  });
  end();
  return kept;
}
