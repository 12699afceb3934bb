// Checks calls that choose one of several points or draw random samples. The result must be one of
// the permitted choices.

import { JsonNumber } from '../record/json.mjs';
import { alike, errorOf, groupBy, head, seriesOf } from './answers.mjs';
import { and, callOf, calls, dimensionsOf, fieldsOf, isWindow, statement, termsOf, windowOf, withoutAbs } from './statement.mjs';
import { aloneOf, columnsOf, foundAlone, hasLimits, hasSeriesLimits, unlimited } from './assemble.mjs';
import { linesOfSeries } from './lines.mjs';
import { scratch } from './stored.mjs';

const UNITS = { ns: 1n, u: 1_000n, ms: 1_000_000n, s: 1_000_000_000n, m: 60_000_000_000n, h: 3_600_000_000_000n };
const number = (cell) => Number(cell.text);

/** For each call, returns the points, each `[time, value, …]`, that the call may choose. */
const MAY = {
  mode(points) {
    const counts = new Map();
    for (const [, cell] of points) counts.set(key(cell), (counts.get(key(cell)) ?? 0) + 1);
    const most = Math.max(...counts.values());
    return points.filter(([, cell]) => counts.get(key(cell)) === most);
  },
  percentile(points, rank) {
    const sorted = points.map(([, cell]) => number(cell)).sort((one, other) => one - other);
    const value = sorted[Math.floor((sorted.length * Number(rank)) / 100 + 0.5) - 1];
    return points.filter(([, cell]) => number(cell) === value);
  },
  first: (points) => at(points, (one, other) => one < other),
  last: (points) => at(points, (one, other) => one > other),
  min: (points) => earliest(points, (one, other) => one < other),
  max: (points) => earliest(points, (one, other) => one > other),
  sample: (points) => points,
};
/** Go's sort is stable up to this number of points, so the choice of 1.x is known. */
const STABLE_MAX = 11;

/**
 * For `mode` and `percentile` over at most `STABLE_MAX` points with different times, returns the
 * points that 1.x may choose.
 */
const CHOICE = {
  percentile: (sorted, rank) => sorted.filter((_, at) => at === Math.floor((sorted.length * Number(rank)) / 100 + 0.5) - 1),
  mode(sorted) {
    const runs = [...groupBy(sorted, ([, cell]) => key(cell)).values()];
    // 1.x has separate code for booleans.
    if (typeof sorted[0][1] === 'boolean') return MAY.mode(sorted);
    let best = runs[0];
    for (const run of runs.filter((one) => one.length > 1)) {
      const isLater = BigInt(run[0][0].text) > BigInt(best[Math.min(run.length, best.length) - 1][0].text);
      if (run.length > best.length || (run.length === best.length && !isLater)) best = run;
    }
    return best.slice(0, 1);
  },
};

/**
 * Returns the points that the call may choose. With `alone`, all points belong to one series.
 * Otherwise 1.x reads series by series, so the points are not in the order of time.
 */
function choices(name, points, rest, { backwards, alone, windowed }) {
  if (windowed && ['first', 'last'].includes(name)) return preferred(name, MAY[name](points));
  const times = new Set(points.map(([time]) => time.text));
  if (!alone || !CHOICE[name] || points.length === 0 || points.length > STABLE_MAX || times.size < points.length) return MAY[name](points, ...rest);
  const order = (one, other) => (BigInt(one[0].text) < BigInt(other[0].text) ? -1 : 1) * (backwards ? -1 : 1);
  const value = ([, cell]) => key(cell);
  const sorted = [...points].sort(order).sort((one, other) => (value(one) < value(other) ? -1 : value(one) > value(other) ? 1 : 0));
  return CHOICE[name](sorted, ...rest);
}

/**
 * Returns the points that `first` or `last` chooses in a window. If several points have the same
 * time, 1.x selects the largest value. Only `first` of booleans selects false.
 */
function preferred(name, points) {
  const isSmallest = name === 'first' && typeof points[0]?.[1] === 'boolean';
  return points.filter(([, cell]) => points.every(([, other]) => (isSmallest ? cell <= other : key(other) <= key(cell))));
}

/** Without windows, the row of one of these calls has the time of the chosen point. */
const TIMED = ['percentile', 'first', 'last', 'min', 'max'];

function at(points, isBetter) {
  const best = points.reduce((one, other) => (isBetter(BigInt(other[0].text), BigInt(one[0].text)) ? other : one), points[0]);
  return points.filter(([time]) => time.text === best[0].text);
}

/** Returns the earliest of the points with the best value. */
function earliest(points, isBetter) {
  const best = points.reduce((one, other) => (isBetter(key(other[1]), key(one[1])) ? other : one), points[0]);
  return MAY.first(points.filter(([, cell]) => key(cell) === key(best[1])));
}

const ROUND = { floor: Math.floor, ceil: Math.ceil, round: (x) => Math.sign(x) * Math.round(Math.abs(x)), abs: Math.abs, sqrt: Math.sqrt };
/** A mathematical function returns null for a value that is not a number. */
const rounded = (cell, round) => (cell instanceof JsonNumber ? new JsonNumber(String(round(number(cell)))) : null);
const key = (cell) => (cell instanceof JsonNumber ? number(cell) : cell);

/** Returns whether both responses are permitted results of a statement with a single call. */
export async function chosen(pair) {
  const { parts, theirs, ours, env, trusted } = pair;
  const [field, ...aux] = fieldsOf(parts);
  const place = aux.findIndex(({ expression }) => callOf(expression)) + 1;
  if (place > 0 && !callOf(field.expression)) return chosen(callFirst(pair, place));
  const outer = callOf(field.expression);
  const round = ROUND[outer?.name];
  const call = round ? callOf(outer.first) : outer;
  if (!call || !MAY[call.name] || hasLimits(parts) || aux.some(({ text }) => /\w\(/.test(text))) return false;
  const tags = dimensionsOf(parts).filter((one) => !isWindow(one)).join(', ');
  const shown = [call.first, ...aux.map(({ expression }) => expression)].map((one, at) => `${one} AS v${at}`);
  const plain = { ...parts, fill: '', 'GROUP BY': tags, 'ORDER BY': '' };
  const raw = await trusted(statement({ ...plain, SELECT: shown.join(', ') }));
  const counted = await trusted(statement({ ...parts, SELECT: `count(${call.first})`, fill: windowOf(parts) ? none(parts) : '' }));
  if (!raw || !counted || errorOf(raw) || errorOf(counted)) return false;
  const alone = dimensionsOf(parts).includes('*');
  const what = { call, round, parts, alone };
  const own = seriesOf(ours.document);
  if (errorOf(ours.document) || !areChosen(own, raw, counted, what)) return false;
  const isRight = (known, how) => isLike(known, own) && areChosen(known, raw, counted, { ...what, parts: how });
  if (isRight(seriesOf(theirs.document), parts)) return true;
  // 1.x panics if a window has points but none of them has a value.
  if (call.name !== 'percentile' || !windowOf(parts)) return false;
  const filled = { ...parts, fill: '(none)' };
  const known = await windowsAlone(filled, counted, env);
  return isRight(known, filled);
}

/** Moves the call and its column from position `place` to the first position. */
function callFirst({ parts, theirs, ours, ...pair }, place) {
  const moved = (list, first) => [...list.slice(0, first), list[first + place], ...list.slice(first, first + place), ...list.slice(first + place + 1)];
  const side = ({ document, ...more }) => {
    const series = seriesOf(document).map((one) => new Map([...one, ['columns', moved(one.get('columns'), 1)], ['values', one.get('values').map((row) => moved(row, 1))]]));
    const results = series.length > 0 ? new Map([['results', [new Map([['series', series]])]]]) : document;
    return { ...more, document: results };
  };
  const SELECT = moved(fieldsOf(parts).map(({ text }) => text), 0).join(', ');
  return { ...pair, parts: { ...parts, SELECT }, theirs: side(theirs), ours: side(ours) };
}

function isLike(known, own) {
  const heads = (all) => all.map((series) => [...series].filter(([key]) => key !== 'values'));
  return alike(heads(known), heads(own));
}

/** Returns the real server's results of separate statements for each window. */
async function windowsAlone(parts, counted, { real, parsed }) {
  const all = [];
  for (const series of seriesOf(counted)) {
    const frame = [...series.get('values')].sort(([one], [other]) => (BigInt(one.text) < BigInt(other.text) ? -1 : 1));
    const found = [];
    for (const [at, [time]] of frame.entries()) {
      const upper = frame[at + 1] && `time < ${frame[at + 1][0].text}`;
      const alone = { ...parts, WHERE: and(parts.WHERE, `time >= ${time.text}`, upper), 'ORDER BY': '' };
      found.push(...foundAlone(parsed(await real(aloneOf(alone, series))), series));
    }
    const rows = found.flatMap((one) => one.get('values'));
    if (rows.length > 0) all.push(new Map([...found[0], ['values', isBackwards(parts) ? rows.toReversed() : rows]]));
  }
  return all;
}

/**
 * Returns whether the call may choose the rows of `all` from the points in `raw`. `counted` is the
 * result of `count()`, which contains the time of every window of each series.
 */
function areChosen(all, raw, counted, what) {
  const left = new Map(all.map((series) => [head(series), series]));
  if (left.size !== all.length) return false;
  for (const series of seriesOf(raw)) {
    const points = series.get('values').filter((row) => row[1] !== null);
    const frame = seriesOf(counted).find((one) => head(one) === head(series))?.get('values') ?? [];
    if (!isChosen(left.get(head(series))?.get('values') ?? [], points, frame, what)) return false;
    left.delete(head(series));
  }
  return left.size === 0;
}

const none = ({ fill }) => (fill === '(none)' ? '(none)' : '(0)');

/**
 * Whether the call may choose `rows` from the points of one series. `frame` is the series in the
 * result of `count()`, which contains the time of every window.
 */
function isChosen(rows, points, frame, { call, round, parts, alone }) {
  const window = windowOf(parts);
  const shown = ([time, cell, ...more]) => [time, round ? rounded(cell, round) : cell, ...more];
  const may = (all) => choices(call.name, all, call.rest, { backwards: isBackwards(parts), alone, windowed: window !== undefined }).map(shown);
  if (call.name === 'sample') {
    const how = { count: Number(call.rest[0]), backwards: isBackwards(parts), fill: parts.fill };
    return isDrawn(rows, points.map(shown), window && windowsOf(window, parts, frame), how);
  }
  if (!window) {
    const chosen = may(points);
    if (chosen.length === 0) return rows.length === 0;
    if (rows.length !== 1) return false;
    const time = TIMED.includes(call.name) ? undefined : frame[0]?.[0];
    return chosen.some(([own, ...cells]) => isPoint([time ?? own, ...cells], rows[0], undefined, parts.fill));
  }
  const start = windowsOf(window, parts, frame);
  if (!start) return false;
  const groups = groupBy(points, (point) => start(point));
  const expected = frame.map(([time]) => [time, may(groups.get(time.text) ?? [])]);
  if (expected.every(([, may]) => may.length === 0)) return rows.length === 0;
  const hasValue = ([, may]) => may.length > 0;
  const left = parts.fill === '(none)' ? expected.filter(hasValue) : shownWindows(expected, parts, hasValue);
  return (
    rows.length === left.length &&
    rows.every((row, at) => {
      const [time, may] = left[at];
      if (!alike(row[0], time)) return false;
      if (may.length > 0) return may.some(([, ...cells]) => isPoint([time, ...cells], row, rows[at - 1], parts.fill));
      const beside = row.slice(2).map(() => null);
      return (
        isFilled(rows, at, parts.fill ?? '(null)', left) &&
        isPoint([time, row[1], ...beside], row, rows[at - 1], parts.fill)
      );
    })
  );
}

/**
 * Returns the windows that the result contains. If the statement has no lower time bound, the
 * result begins with the first window that has a value.
 */
function shownWindows(windows, parts, hasValue) {
  if (termsOf(parts).some((term) => /^time >|<=? time$/.test(term))) return windows;
  return isBackwards(parts) ? windows.slice(0, windows.findLastIndex(hasValue) + 1) : windows.slice(windows.findIndex(hasValue));
}

function isFilled(rows, at, fill, shown) {
  const cell = rows[at][1];
  const known = shown.map(([, may], place) => (may.length > 0 ? place : -1)).filter((place) => place >= 0);
  const before = known.findLast((place) => place < at);
  const after = known.find((place) => place > at);
  if (fill === '(null)') return cell === null;
  if (fill === '(previous)') return alike(cell, before === undefined ? null : rows[before][1]);
  if (fill === '(linear)') {
    if (before === undefined || after === undefined) return cell === null;
    const [from, to] = [rows[before][1], rows[after][1]].map(number);
    const exact = from + ((to - from) * (at - before)) / (after - before);
    return cell instanceof JsonNumber && (Math.abs(number(cell) - exact) <= 1e-9 * Math.abs(exact) || number(cell) === Math.trunc(exact));
  }
  // 1.x cannot convert the number of `fill()` to a string or a boolean, and returns '' or false.
  const value = rows[known[0]]?.[1];
  if (typeof value === 'string') return cell === '';
  if (typeof value === 'boolean') return cell === false;
  // For a call that returns integers, 1.x truncates the number.
  const filled = Number(fill.slice(1, -1));
  return cell instanceof JsonNumber && [filled, Math.trunc(filled)].includes(number(cell));
}

/**
 * Returns whether `sample` may draw `rows`. The rows must be different points in the order of time.
 * Each window must have as many rows as the call requests, or all its points if it has fewer
 * points.
 */
function isDrawn(rows, points, start, how) {
  if (start === undefined) return isInOrder(rows) && isSome(rows, points, how);
  if (!start) return false;
  const [drawn, all] = [rows, points].map((list) => groupBy(list, (row) => start(row)));
  const windows = [...drawn.keys()].map((time) => [new JsonNumber(time)]);
  return (
    isInOrder(how.backwards ? windows.toReversed() : windows) &&
    alike([...drawn.values()].flat(), rows) &&
    [...drawn.values()].every(isInOrder) &&
    [...drawn.keys()].every((time) => all.has(time)) &&
    [...all].every(([time, known]) => isSome(drawn.get(time) ?? [], known, how, rows))
  );
}

const isBackwards = (parts) => /DESC/.test(parts['ORDER BY'] ?? '');
const isInOrder = (rows) => rows.every(([time], at) => at === 0 || BigInt(time.text) >= BigInt(rows[at - 1][0].text));

/**
 * Returns whether the rows are `count` different points, or all points if there are fewer than
 * `count`. `all` contains all rows of the result: `fill(previous)` repeats values of earlier rows.
 */
function isSome(rows, points, { count, fill }, all = rows) {
  const left = [...points];
  const from = all.indexOf(rows[0]);
  const found = rows.every((row, place) => {
    const at = left.findIndex((point) => isPoint(point, row, all[from + place - 1], fill));
    if (at >= 0) left.splice(at, 1);
    return at >= 0;
  });
  return found && rows.length === Math.min(count, points.length);
}

/** Whether `row` shows `point`. `fill` may have replaced null values after the first value. */
function isPoint(point, row, before, fill = '(null)') {
  return point.every((cell, at) => {
    if (cell !== null || at < 2 || fill === '(null)' || fill === '(none)' || fill === '(linear)') return alike(cell, row[at]);
    if (fill === '(previous)') return alike(row[at], before?.[at] ?? null);
    // For an integer field, 1.x truncates the number.
    const filled = Number(fill.slice(1, -1));
    return row[at] instanceof JsonNumber && [filled, Math.trunc(filled)].includes(number(row[at]));
  });
}

/**
 * Returns a function from a row to the start of its window, or undefined if the windows are
 * unknown.
 */
function windowsOf(window, parts, frame) {
  const [, many, unit, , sign, offset, offsetUnit] = /^time\((\d+)(\w+?)(, (-?)(\d+)(\w+))?\)$/.exec(window) ?? [];
  if (!UNITS[unit] || (offset && !UNITS[offsetUnit])) return undefined;
  const every = BigInt(many) * UNITS[unit];
  let phase = offset ? BigInt(`${sign}${offset}`) * UNITS[offsetUnit] : 0n;
  if (parts.tz) {
    if (!frame?.length) return undefined;
    phase = BigInt(frame[0][0].text);
  }
  return ([time]) => {
    const at = BigInt(time.text) - phase;
    return String(BigInt(time.text) - (((at % every) + every) % every));
  };
}

/**
 * A sample size larger than the number of points in any series, so that `sample` returns all
 * points.
 */
const ALL_POINTS = 100_000;

/**
 * Stores Tidemark's samples as points in the real server, together with the separate results of the
 * other calls. The real server must join these points to the same rows as Tidemark.
 */
export async function joinsSamples(pair) {
  const { parts, theirs, ours, env, trusted, isOurs } = pair;
  if (windowOf(parts)) return drawnInWindows(pair);
  if (hasLimits(parts) || !['(null)', '(none)', undefined].includes(parts.fill)) return false;
  const columns = await columnsOf(parts, trusted);
  const own = seriesOf(ours.document);
  const names = seriesOf(theirs.document)[0]?.get('columns') ?? [];
  if (!columns || columns.length < 2 || own.length === 0 || columns.some(({ texts }) => texts.length > 1)) return false;
  const [lines, shown] = [[], []];
  for (const [at, { texts }] of columns.entries()) {
    const outer = callOf(fieldsOf({ SELECT: texts[0] })[0].expression);
    const call = callOf(outer?.first ?? '') ?? outer;
    const round = call !== outer && call?.name === 'sample' ? ROUND[outer.name] : undefined;
    if (!call || (call !== outer && call.name === 'sample' && !round)) return false;
    const plain = `${call.name}(${[call.first, ...call.rest].join(', ')})`;
    const series = call.name === 'sample' ? await drawn(call, at + 1, { parts, own, trusted, round }) : await aloneIn(parts, call, plain, trusted);
    if (!series) return false;
    lines.push(...linesOfSeries(series, `c${at}`));
    const points = `sample(c${at}, ${ALL_POINTS})`;
    const shape = call === outer || round ? points : `${outer.name}(${[points, ...outer.rest].join(', ')})`;
    shown.push(`${shape} AS "${names[at + 1]}"`);
  }
  const database = scratch();
  await env.real(`CREATE DATABASE ${database} WITH DURATION INF`);
  await env.write(database, lines);
  const answer = await env.real(statement({ ...parts, SELECT: shown.join(', '), FROM: `${database}.autogen./.*/`, WHERE: '' }));
  await env.real(`DROP DATABASE ${database}`);
  return isOurs(answer);
}

/**
 * Returns the result of a single call in the form that it has in the statement's result, or
 * undefined if no trusted response exists. In a statement with several calls, a selector such as
 * `first` has the time of the row, and not the time of its point. The function therefore replaces
 * the time.
 */
async function aloneIn(parts, call, text, trusted) {
  const document = await trusted(statement({ ...parts, SELECT: text }));
  const counted = await trusted(statement({ ...parts, SELECT: `count(${call.first})` }));
  if (!document || !counted || errorOf(document) || errorOf(counted)) return undefined;
  const time = seriesOf(counted)[0]?.get('values')[0][0];
  if (!['first', 'last', 'min', 'max', 'percentile'].includes(call.name)) return seriesOf(document);
  return seriesOf(document).map((series) => new Map([...series, ['values', series.get('values').map(([, cell]) => [time, cell])]]));
}

/**
 * Returns the points in a column of Tidemark's result, or undefined if `sample` cannot draw them.
 */
async function drawn(call, column, { parts, own, trusted, round }) {
  const raw = await trusted(statement({ ...parts, SELECT: `${call.first} AS v0`, 'ORDER BY': '' }));
  if (!raw || errorOf(raw)) return undefined;
  const points = own
    .map((series) => new Map([...series, ['values', series.get('values').map((row) => [row[0], row[column]]).filter(([, cell]) => cell !== null)]]))
    .filter((series) => series.get('values').length > 0);
  const none = new Map([['results', []]]);
  return areChosen(points, raw, none, { call, round, parts, alone: false }) ? points : undefined;
}

/**
 * Returns whether both responses consist of permitted samples and of the correct results of the
 * other calls. The result has one row for each time. If a column has several samples with the same
 * time, the first sample is in this row, and each further sample has its own row. LIMIT applies to
 * each call separately, so no call may have more rows than the limit.
 */
async function drawnInWindows({ parts, theirs, ours, env, trusted }) {
  const number = /^\((-?[\d.]+)\)$/.exec(parts.fill ?? '')?.[1];
  const isFilled = number !== undefined || ['(null)', '(none)', undefined].includes(parts.fill);
  if (parts.OFFSET || hasSeriesLimits(parts) || !isFilled) return false;
  const whole = unlimited(parts);
  const expanded = await columnsOf(whole, trusted);
  if (!expanded || expanded.length < 2 || expanded.some(({ texts }) => texts.length > 1)) return false;
  const columns = [];
  for (const { texts: [text] } of expanded) {
    const outer = callOf(fieldsOf({ SELECT: text })[0].expression);
    const round = ROUND[outer?.name];
    const drawn = round && callOf(outer.first);
    const by = drawn && round;
    const call = drawn?.name === 'sample' ? drawn : outer;
    const isDraw = call?.name === 'sample';
    if (!isDraw && (!call || calls(text, 'sample'))) return false;
    const tags = dimensionsOf(parts).filter((one) => !isWindow(one)).join(', ');
    const raw = { ...whole, SELECT: `${call.first} AS v0`, 'GROUP BY': tags, fill: '', 'ORDER BY': '' };
    const known = await trusted(statement(isDraw ? raw : { ...whole, SELECT: text }));
    if (!known || errorOf(known)) return false;
    const shown = ([time, cell]) => [time, isDraw && by && cell !== null ? rounded(cell, by) : cell];
    const rows = new Map(seriesOf(known).map((one) => [head(one), one.get('values').map(shown)]));
    columns.push({ count: isDraw ? Number(call.rest[0]) : undefined, rows, fills: number === undefined ? undefined : fillsOf(number, by) });
  }
  const [, first] = /\bsample\((\w+),/.exec(expanded.flatMap(({ texts }) => texts).join()) ?? [];
  const counted = parts.tz && (await trusted(statement({ ...whole, SELECT: `count(${first})`, fill: none(parts) })));
  const start = windowsOf(windowOf(parts), parts, seriesOf(counted)[0]?.get('values'));
  const backwards = isBackwards(parts);
  const isJoined = (series) => {
    const all = series.get('values');
    const pointsOf = ({ rows }) => (rows.get(head(series)) ?? []).filter(([, cell]) => cell !== null);
    const timesOf = (column) => new Set((column.count === undefined ? (column.rows.get(head(series)) ?? []) : pointsOf(column)).map(([time]) => time.text));
    const lists = columns.map((column, at) => {
      const { count, rows, fills } = column;
      if (count === undefined) return rows.get(head(series)) ?? [];
      const points = pointsOf(column);
      const own = timesOf(column);
      const others = new Set(columns.filter((one) => one !== column).flatMap((one) => [...timesOf(one)]));
      // At the times of other columns, `fill(number)` replaces a missing sample with the number. If
      // a point's value equals this number, the cell does not show whether the point was drawn.
      if (fills && points.some(([time, cell]) => others.has(time.text) && isOneOf(fills, cell))) return undefined;
      const isValue = ([time, cell]) => (fills ? own.has(time.text) && !(others.has(time.text) && isOneOf(fills, cell)) : cell !== null);
      const drawn = all.map((row) => [row[0], row[at + 1]]).filter(isValue);
      return isDrawn(drawn, points, start, { count, backwards, fill: '(null)' }) ? drawn : undefined;
    });
    const isWhole = lists.every((list) => list && (!parts.LIMIT || list.length <= Number(parts.LIMIT)));
    return isWhole && isJoin(all, lists, columns.map(({ fills }) => fills), backwards);
  };
  const heads = new Set(columns.flatMap(({ rows }) => [...rows.keys()]));
  const isPermitted = ({ document }) => {
    const all = seriesOf(document);
    return !errorOf(document) && all.length === heads.size && all.every((one) => heads.has(head(one)) && isJoined(one));
  };
  const right = calls(parts.SELECT, 'abs') ? { document: env.parsed(await env.real(withoutAbs(statement(parts)))) } : theirs;
  return start !== undefined && isLike(seriesOf(theirs.document), seriesOf(ours.document)) && isPermitted(right) && isPermitted(ours);
}

/**
 * Returns the cells that `fill(number)` may show. For an integer field, 1.x truncates the number. A
 * function around the call rounds the number.
 */
const fillsOf = (number, round = (value) => value) =>
  [Number(number), Math.trunc(number)].map((value) => new JsonNumber(String(round(value))));

const isOneOf = (fills, cell) => fills.some((one) => alike(cell, one));

/**
 * Returns whether `rows` equals the join of the lists `[time, value]` by time. A missing value is
 * null, or one of its column's `fills`.
 */
function isJoin(rows, lists, fills, backwards) {
  const next = lists.map(() => 0);
  const isMissing = (cell, at) => (fills[at] ? isOneOf(fills[at], cell) : cell === null);
  for (const [time, ...cells] of rows) {
    const due = lists.map((list, at) => list[next[at]]).filter(Boolean);
    if (!due.length || due.some(([own]) => (backwards ? BigInt(own.text) > BigInt(time.text) : BigInt(own.text) < BigInt(time.text)))) return false;
    const isRight = cells.every((cell, at) => {
      const head = lists[at][next[at]];
      if (!head || !alike(head[0], time)) return isMissing(cell, at);
      next[at] += 1;
      return alike(head[1], cell);
    });
    if (!isRight) return false;
  }
  return next.every((count, at) => count === lists[at].length);
}
