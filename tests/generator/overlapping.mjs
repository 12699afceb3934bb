// Avoids a defect of windows in 1.x. With `tz()`, two windows can overlap near a change of daylight
// saving time. 1.x then adds a point to the window of the previous point, so the result depends on
// the order in which 1.x reads the points. To avoid this, runs the statement for the points of each
// window separately.

import { errorOf, groupBy, seriesOf } from './answers.mjs';
import { hasLimits } from './assemble.mjs';
import { linesOf } from './lines.mjs';
import { and, calls, statement, windowOf } from './statement.mjs';
import { scratch } from './stored.mjs';

/** Functions that return several rows for a window, or that read points of other windows. */
const OTHERS = 'distinct|integral|sample|top|bottom|\\w*difference|\\w*derivative|elapsed|cumulative_sum|\\w+_average|holt_winters\\w*';

/**
 * Returns whether Tidemark's response consists of the rows that the real server returns for each
 * window separately. The statement must read one series. The proof also gets the times of empty
 * windows from the real server.
 */
export async function isOfWindowsAlone({ parts, env, trusted, isSeries }) {
  const { real, parsed } = env;
  if (!windowOf(parts) || hasLimits(parts) || calls(parts.SELECT, OTHERS) || parts.fill === '(linear)') return false;
  const raw = await trusted(statement({ ...parts, SELECT: '*', 'GROUP BY': '*', fill: '', 'ORDER BY': '' }));
  if (!raw || errorOf(raw) || seriesOf(raw).length !== 1) return false;
  const [points] = seriesOf(raw);
  const alone = async (from, to) => {
    const [found] = seriesOf(parsed(await real(statement({ ...parts, WHERE: and(parts.WHERE, `time >= ${from}`, `time <= ${to}`), fill: '(none)' }))));
    return found;
  };
  const starts = [];
  for (const [time] of points.get('values')) {
    const found = await alone(time.text, time.text);
    if (found) starts.push({ time: time.text, start: found.get('values')[0][0].text });
  }
  const windows = [];
  for (const [start, all] of groupBy(starts, (one) => one.start)) {
    const [first, last] = [starts.indexOf(all[0]), starts.indexOf(all.at(-1))];
    const series = await alone(all[0].time, all.at(-1).time);
    // The points of one window must be adjacent in the series.
    if (last - first + 1 !== all.length || series.get('values').length !== 1 || series.get('values')[0][0].text !== start) return false;
    windows.push(series);
  }
  if (windows.length === 0) return false;
  const sign = /DESC/.test(parts['ORDER BY'] ?? '') ? -1 : 1;
  const isBefore = ([one], [other]) => (BigInt(one.text) < BigInt(other.text) ? sign === 1 : one.text !== other.text && sign === -1);
  const rows = windows.flatMap((series) => series.get('values')).sort((one, other) => (isBefore(one, other) ? -1 : 1));
  const first = sign === 1 ? starts[0] : starts.at(-1);
  const shown = parts.fill === '(none)' ? rows : filled(rows, await frameOf(parts, points, first.time, env), isBefore, parts.fill);
  return isSeries([new Map([...windows[0], ['values', shown]])]);
}

/**
 * Returns the result for a single stored point. This result contains the times of all windows,
 * because every window except the point's window is empty.
 */
async function frameOf(parts, points, time, { real, parsed, write }) {
  const database = scratch();
  await real(`CREATE DATABASE ${database} WITH DURATION INF`);
  try {
    const keys = parsed(await real(`SHOW FIELD KEYS FROM ${parts.FROM}`));
    const only = new Map([...points, ['values', points.get('values').filter(([own]) => own.text === time)]]);
    await write(database, linesOf(keys, new Map([['results', [new Map([['series', [only]]])]]])));
    return seriesOf(parsed(await real(statement(parts), database)))[0]?.get('values') ?? [];
  } finally {
    await real(`DROP DATABASE ${database}`);
  }
}

/**
 * Inserts the rows between the empty windows. Each row replaces the next empty window. As in 1.x,
 * this happens even if the row is earlier than this window.
 */
function filled(rows, frame, isBefore, fill) {
  const [shown, left] = [[], [...frame]];
  const empty = frame.find(([time]) => time.text !== rows[0][0].text) ?? [];
  const push = (time, cells) => {
    const missing = fill === '(previous)' ? (shown.at(-1) ?? []) : empty;
    shown.push([time, ...cells.map((cell, at) => cell ?? missing[at + 1] ?? null)]);
  };
  const pushEmpty = ([time, ...cells]) => push(time, cells.map(() => null));
  for (const row of rows) {
    while (left.length > 0 && isBefore(left[0], row)) pushEmpty(left.shift());
    left.shift();
    push(row[0], row.slice(1));
  }
  left.forEach(pushEmpty);
  return shown;
}
