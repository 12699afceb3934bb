// Avoids the defects of subqueries in 1.x. Stores the rows of a subquery as points of a
// measurement, and then runs the outer statement over that measurement in 1.x.

import { alike, errorOf, groupBy, head, json, sameAnswer, seriesOf } from './answers.mjs';
import { linesOf, linesOfSeries } from './lines.mjs';
import { and, calls, clauses, dimensionsOf, fieldsOf, isTime, isWindow, split, statement, termsOf, union, windowOf } from './statement.mjs';

/** The calls of a subquery that inherit the windows of the outer statement. */
const WINDOWED =
  /\b(?:count|sum|mean|median|mode|spread|stddev|integral|distinct|first|last|min|max|percentile|sample|top|bottom)\(/;
let databases = 0;

/**
 * Returns the subqueries of a FROM clause, or undefined if the clause also contains a measurement.
 */
function subqueries(from) {
  const sources = split(from, ', ');
  const inner = sources.map((one) => (one.startsWith('(SELECT') ? one.slice(1, -1) : undefined));
  return inner.includes(undefined) ? undefined : inner;
}

/**
 * Returns whether the outer statement over the stored rows has the same response as in Tidemark.
 * With `isTheirs`, the real server computes the rows at every depth. Otherwise, Tidemark computes
 * the rows of the outermost subqueries, and the statements of these subqueries must be `trusted`.
 * If a stored value is a negative zero, the zeros of the two responses may differ in sign.
 */
export async function isSameOverStoredRows({ text: whole, tied, theirs, ours, env, trusted, isOurs, isSame }, isTheirs) {
  const text = listed(whole);
  const outer = clauses(text);
  const inner = subqueries(outer.FROM) ?? [];
  const isPlain = fieldsOf(outer).every(({ expression }) => !/\w\(|^[*/]/.test(expression));
  const looksForZeros = MINUS_ZERO.test(theirs.body + ours.body);
  // If several rows have the same time, `first` and `last` of 1.x can choose differently for stored
  // points and for rows of a subquery.
  const isChoice = calls(outer.SELECT, 'first|last') && !errorOf(ours.document);
  // 1.x omits series of some functions if a statement has two subqueries and one of them groups by
  // all tags.
  const isUnion = !isTheirs && inner.some((one) => subqueries(clauses(one).FROM)?.length > 1);
  // 1.x can choose any of several equal values with the same time, and can return rows with the
  // same time in any order.
  const isTie = !isTheirs && (!/\w\(/.test(outer.SELECT) || (calls(outer.SELECT, 'min|max') && windowOf(outer))) && !errorOf(ours.document);
  // Stores only the columns that the outer calls read, because another column can cause a type
  // error.
  const isOfCalls = !isTheirs && fieldsOf(outer).every(({ expression }) => /^\w+\([^*/]*\)$/.test(expression));
  const ways = [
    {},
    ...(isTheirs ? [{ read: 1 }] : []),
    ...(isTheirs && inner.some((one) => one.includes('(SELECT')) ? [{ read: 2 }] : []),
    ...(isChoice ? [{ isSubquery: true }] : []),
    ...(isUnion ? [{ isAsWritten: true }] : []),
    ...(isTie ? [{ apart: new Map() }] : []),
    ...(isOfCalls ? [{ columns: [...fieldsOf(outer).map(({ expression }) => expression), outer.WHERE].join().match(/\w+/g) }] : []),
  ];
  for (const way of ways) {
    const keep = isTheirs ? (parts) => keepTheirs(parts, env) : (parts) => keepOurs(parts, env, trusted, { every: isPlain, apart: way.apart });
    const how = { env, keep, nested: isTheirs, ...way, looksForZeros, hasZeros: false };
    let answer = togetherAgain(await overStored(text, how), way.apart);
    if (!answer) continue;
    const listing = withColumns(text, theirs.document, ours.document, env.parsed(answer));
    if (listing) answer = togetherAgain(await overStored(listing, how), way.apart);
    const document = await withEmptyTags(answer, text, ours.document, env);
    if (isOurs(answer) || isSame(document)) return true;
    const [one, other] = [json(document ?? null), ours.body].map((body) => [200, body.replaceAll(new RegExp(MINUS_ZERO, 'g'), '0')]);
    if (how.hasZeros && sameAnswer({ tied }, one, other)) return true;
  }
  return false;
}

/** Replaces `*` with a list of the columns, because `*` does not select rows without values. */
function listed(text) {
  const outer = clauses(text);
  const [only, more] = subqueries(outer.FROM) ?? [];
  if (outer.SELECT !== '*' || !only || more) return text;
  const inner = clauses(only);
  const [names, tags] = [fieldsOf(inner).map(({ alias }) => alias), dimensionsOf(inner).filter((one) => !isWindow(one))];
  const grouped = dimensionsOf(outer);
  if (names.includes(undefined) || [...tags, ...grouped].some(isPattern)) return text;
  const columns = union(names, tags).filter((name) => !grouped.includes(name));
  return statement({ ...outer, SELECT: columns.sort().join(', ') });
}

/**
 * Replaces `*` with a list of the columns that both responses show. `*` of a subquery also includes
 * columns without values, but stored points do not have these columns. Returns undefined if the
 * result `found` already has all columns.
 */
function withColumns(text, theirs, ours, found) {
  const outer = clauses(text);
  if (outer.SELECT !== '*') return undefined;
  const columnsOf = (document) => seriesOf(document).map((series) => series.get('columns'));
  const [shown, ...others] = [theirs, ours].flatMap(columnsOf);
  const isList = shown && others.every((one) => alike(one, shown)) && shown.every((name) => /^\w+$/.test(name));
  const isPart = (own) => own.length < shown.length && own.every((name) => shown.includes(name));
  if (!isList || !found || !columnsOf(found).every(isPart)) return undefined;
  return statement({ ...outer, SELECT: shown.slice(1).join(', ') });
}

/** A negative zero equals a zero, and 1.x returns any of several equal values. */
const MINUS_ZERO = /(?<=[[,])-0(?=[\],])/;

/**
 * Replaces null with an empty string in the columns of tags, because stored points do not have tags
 * with an empty value.
 */
async function withEmptyTags(answer, text, ours, env) {
  const document = env.parsed(answer);
  const parts = clauses(text);
  const expressions = fieldsOf(parts).map(({ expression }) => expression.replace(/::tag$/, ''));
  // Only rows with a point get the empty strings. In the row of an empty window, the columns stay
  // null.
  const [only, more] = subqueries(parts.FROM) ?? [];
  const number = /^\((-?[\d.]+)\)$/.exec(parts.fill)?.[1];
  const isWithTags = only && !more && (number || ['(null)', '(none)', '(linear)', undefined].includes(parts.fill));
  const columns = number && only ? fieldsOf(clauses(only)).map(({ expression, alias }) => alias ?? expression) : [];
  const inner = isWithTags ? (await tagsOf([only], env)).filter((name) => !columns.includes(name)) : [];
  // `fill(number)` replaces a missing tag with the number.
  const isMissing = (cell) => cell === null || (number !== undefined && cell?.text === number);
  for (const [place, series] of seriesOf(document).entries()) {
    const windows = answer[2]?.get(head(series));
    const shown = parts.SELECT === '*' ? series.get('columns').slice(1) : expressions;
    const [known, own] = [seriesOf(ours)[place]?.get('tags') ?? new Map(), series.get('tags') ?? new Map()];
    const tags = new Map([...known].filter(([key, tag]) => own.has(key) || tag === '').map(([key]) => [key, own.get(key) ?? '']));
    if ([...own.keys()].some((key) => !tags.has(key))) return undefined;
    const all = [['name', series.get('name')], ...(tags.size > 0 ? [['tags', tags]] : [])];
    const rest = [...series].filter(([key]) => key !== 'name' && key !== 'tags');
    series.clear();
    for (const [key, value] of [...all, ...rest]) series.set(key, value);
    const isPoint = ([, value]) => value !== null && !(number && windowOf(parts));
    const hasPoint = (row) => !/\w\(/.test(parts.SELECT) || (windows ? windows.includes(row[0].text) : isPoint(row));
    const isEmpty = (at, row) => at > 0 && hasPoint(row) && (tags.get(shown[at - 1]) === '' || inner.includes(shown[at - 1]));
    for (const row of series.get('values')) {
      row.forEach((cell, at) => {
        if (isMissing(cell) && shown.length === row.length - 1 && isEmpty(at, row)) row[at] = '';
      });
    }
  }
  return document;
}

const isPattern = (dimension) => /^[*/]/.test(dimension);
const groupsBy = (dimensions, tag) =>
  dimensions.some((one) => one === tag || one === '*' || (one.startsWith('/') && new RegExp(one.slice(1, -1)).test(tag)));

/**
 * Stores the rows of the subqueries, and runs the outer statement over these rows. Returns
 * `[status, body]` and the times of the windows with a value, or undefined if a subquery has no
 * rows.
 *
 * The outer statement reads all stored rows. Some rows of a subquery may be outside the time range:
 * the first window may begin before the range, `holt_winters` returns rows after the range, and a
 * row of `integral` has the time 0.
 *
 * Options:
 * - `how.read`: store the rows that `SELECT *` reads from the subquery at this depth.
 * - `how.isSubquery`: let the outer statement read the stored rows through a subquery.
 * - `how.columns`: the columns to store.
 * - `how.isAsWritten`: store only the tags in the GROUP BY clauses of the subquery and of the outer
 *   statement.
 */
async function overStored(text, how) {
  const outer = clauses(text);
  const made = [];
  try {
    const reads = await storeSubqueries(outer, { ranges: [], times: [], tags: [] }, { ...how, made });
    if (!reads) return undefined;
    if (!how.nested) reads['GROUP BY'] = (await withoutRowNumbers(dimensionsOf(reads), made, how.env)).join(', ');
    if (how.isSubquery) reads.FROM = split(reads.FROM, ', ').map((source) => `(SELECT * FROM ${source} GROUP BY *)`).join(', ');
    const ask = await asking(reads, how.env);
    const terms = termsOf(reads);
    const untimed = terms.filter((term) => !isTime(term));
    if (untimed.length === terms.length) return await ask(reads);
    if (windowOf(reads)) {
      const wider = await boundsOf(terms, made, how.env);
      const asked = wider ? { ...reads, WHERE: and(wider, ...untimed) } : reads;
      const answer = await ask(asked);
      if (reads.fill === '(none)') return answer;
      const present = timesOf(how.env.parsed(await ask({ ...asked, fill: '(none)' })));
      return [...(wider ? asFilled(answer, present, [lowest(terms), highest(terms)], how.env) : answer), present];
    }
    // Without windows, the row of an aggregate has the lower bound of the time range. Without a
    // bound, the time is 0. A row of `integral` can also have the time 0, so a statement with
    // `integral` gets the bound -1.
    const earliest = calls(text, 'integral') ? -1 : 0;
    const [status, body] = await ask({ ...reads, WHERE: and(earliest < 0 && `time >= ${earliest}`, ...untimed) });
    return [status, body.replaceAll(`[${earliest},`, `[${lowest(terms)},`)];
  } finally {
    for (const database of made) {
      if (how.looksForZeros) how.hasZeros ||= MINUS_ZERO.test((await how.env.real(`SELECT * FROM ${database}.autogen./.*/`))[1]);
      await how.env.real(`DROP DATABASE ${database}`);
    }
  }
}

/** Replaces `*` in GROUP BY with a list of tags, without the tag that `repeated` adds. */
async function withoutRowNumbers(dimensions, databases, { real, parsed }) {
  if (!dimensions.some(isPattern)) return dimensions;
  const keys = [];
  for (const database of databases) keys.push(...seriesOf(parsed(await real(`SHOW TAG KEYS ON ${database}`))).flatMap((series) => series.get('values').flat()));
  if (!keys.includes(ROW_NUMBER)) return dimensions;
  const matching = (pattern) => keys.filter((key) => key !== ROW_NUMBER && groupsBy([pattern], key));
  return union(dimensions.flatMap((one) => (isPattern(one) ? matching(one) : [one])));
}

const timesOf = (document) => new Map(seriesOf(document).map((series) => [head(series), series.get('values').map(([time]) => time.text)]));

/**
 * Removes the empty windows outside the time range, after a statement with a wider range.
 *
 * The first window of the result is the window that contains the start of the time range. A window
 * with a value replaces the next empty window, even if the window with the value is earlier: 1.x
 * does the same. The result ends at the end of the time range, or with the last window that has a
 * value. `present` contains the times of the windows with a value.
 */
function asFilled(answer, present, [lower, upper], { parsed }) {
  const document = parsed(answer);
  if (!document) return answer;
  for (const series of seriesOf(document)) {
    const rows = series.get('values');
    const times = rows.map(([time]) => time.text);
    let next = Math.max(0, times.findLastIndex((time) => BigInt(time) <= lower));
    const shown = [];
    for (const at of (present.get(head(series)) ?? []).map((time) => times.indexOf(time))) {
      while (next < at) shown.push(rows[next++]);
      shown.push(rows[at]);
      next += 1;
    }
    series.set('values', [...shown, ...rows.slice(next).filter(([time]) => BigInt(time.text) <= upper)]);
  }
  return [answer[0], `${json(document)}\n`];
}

const OTHER_TYPES = ['string', 'boolean'];

/**
 * Returns a function that runs the statement over the stored rows. If the statement selects columns
 * without a call, three differences between a subquery and stored rows matter:
 * - 1.x returns a subquery's row even if no selected column has a value. The function therefore
 *   also selects all other stored columns, and removes these columns from the result.
 * - If a column has different types in several subqueries, 1.x shows the values of each type. Of
 *   stored rows, 1.x shows only one type. The function therefore also selects such a column as a
 *   string and as a boolean.
 * - Stored rows have tags by which only the outer statement groups. A subquery has no such column,
 *   so the function sets these cells to null.
 */
async function asking(parts, { real, parsed }) {
  const shown = fieldsOf(parts);
  if (shown.some(({ expression }) => /\w\(|^[*/]/.test(expression))) return (own) => real(statement(own));
  const databases = split(parts.FROM, ', ').map((source) => source.split('.')[0]);
  const [types, hidden] = [new Map(), new Map()];
  for (const [at, database] of databases.entries()) {
    const found = seriesOf(parsed(await real(`SHOW FIELD KEYS ON ${database}`)));
    // If several subqueries have rows of a measurement, a row's subquery is unknown.
    for (const name of found.map((series) => series.get('name'))) hidden.set(name, hidden.has(name) ? [] : (parts.hiddenOf?.[at] ?? []));
    for (const [key, type] of found.flatMap((series) => series.get('values'))) types.set(key, union(types.get(key) ?? [], [type]));
  }
  const typed = shown.flatMap(({ expression }, at) => {
    const isMixed = types.get(expression)?.length > 1;
    return isMixed ? OTHER_TYPES.map((type) => ({ at: at + 1, expression, type })) : [];
  });
  const more = [...typed.map(({ expression, type }) => `${expression}::${type}`), ...types.keys()].map((one, at) => `${one} AS more${at}`);
  const cellsOf = (row, name) => {
    const cells = row.slice(0, shown.length + 1);
    typed.forEach(({ at }, number) => (cells[at] ??= row[cells.length + number]));
    return cells.map((cell, at) => (at > 0 && hidden.get(name).includes(shown[at - 1].expression.replace(/::tag$/, '')) ? null : cell));
  };
  return async (own) => {
    const [status, body] = await real(statement({ ...own, SELECT: [own.SELECT, ...more].join(', ') }));
    const document = parsed([status, body]);
    for (const series of seriesOf(document)) {
      series.set('columns', series.get('columns').slice(0, shown.length + 1));
      series.set('values', series.get('values').map((row) => cellsOf(row, series.get('name'))));
    }
    return [status, document ? `${json(document)}\n` : body];
  };
}

/**
 * Returns conditions on time that include all rows. Returns undefined if the conditions in `terms`
 * already include all rows.
 */
export async function boundsOf(terms, databases, { real, parsed }) {
  const times = [];
  for (const database of databases) {
    for (const order of ['', ' ORDER BY time DESC']) {
      const found = parsed(await real(`SELECT * FROM ${database}.autogen./.*/${order} LIMIT 1`));
      times.push(...seriesOf(found).map((series) => BigInt(series.get('values')[0][0].text)));
    }
  }
  const [lower, upper] = [lowest(terms), highest(terms)];
  const first = lower === 0n ? lower : times.reduce((one, other) => (one < other ? one : other), lower);
  const last = times.reduce((one, other) => (one > other ? one : other), upper);
  if (first === lower && last === upper) return undefined;
  // Without a bound in the statement, the windows already begin at the first row or end at the last
  // row. Then no bound is added.
  return and(lower > 0n && `time >= ${first}`, upper < NS_MAX && `time <= ${last}`);
}

const NS_MAX = 2n ** 63n - 1n;
/** Returns the earliest and the latest time that the terms permit, in nanoseconds. */
const lowest = (terms) => bound(terms, '>', 1n, 0n, (one, other) => one > other);
const highest = (terms) => bound(terms, '<', -1n, NS_MAX, (one, other) => one < other);

function bound(terms, sign, step, none, isTighter) {
  const times = terms.map((term) => /^time ([<>]=?) (?:(\d+)s|'(.*)')$/.exec(term)).filter((found) => found?.[1].startsWith(sign));
  const ns = ([, own, seconds, date]) => {
    const iso = date?.includes('T') ? date : `${date?.replace(' ', 'T')}Z`;
    const ms = seconds ? BigInt(seconds) * 1_000n : BigInt(Date.parse(iso));
    return ms * 1_000_000n + (own.endsWith('=') ? 0n : step);
  };
  return times.map(ns).reduce((one, other) => (isTighter(one, other) ? one : other), none);
}

/**
 * Stores the rows of the subqueries, and returns the clauses of the statement with the stored rows
 * in place of the subqueries.
 */
async function storeSubqueries(own, context, how) {
  const inner = subqueries(own.FROM);
  if (!inner) return undefined;
  const dimensions = dimensionsOf(own);
  // If there is only one subquery, a pattern matches the tags by which this subquery groups.
  const patterns = dimensions.filter(isPattern);
  const all = inner.length > 1 && patterns.length > 0 ? await tagsOf(inner, how.env) : undefined;
  const below = {
    ranges: [termsOf(own).filter(isTime), ...context.ranges],
    times: union(context.times, termsOf(own).filter(isTime)),
    tags: union(context.tags, dimensions.filter((one) => !isPattern(one) && !isWindow(one)), (all ?? []).filter((tag) => groupsBy(patterns, tag))),
    window: dimensions.find(isWindow) ?? context.window,
    order: own['ORDER BY'] ?? context.order,
  };
  const stored = [];
  for (const text of inner) stored.push(await store(text, below, how));
  if (stored.includes(undefined)) return undefined;
  // A subquery has only the tags in its GROUP BY clause.
  const tags = union(...stored.map((one) => one.tags));
  const matching = (pattern) => (all ?? tags).flatMap((tag) => (isPattern(tag) && pattern !== '*' ? [pattern] : groupsBy([pattern], tag) ? [tag] : []));
  const known = dimensions.flatMap((one) => (isPattern(one) ? matching(one) : [one]));
  const hiddenOf = inner.map((text) => below.tags.filter((tag) => !shows(text, tag)));
  const hidden = hiddenOf.reduce((all, some) => all.filter((tag) => some.includes(tag)));
  const SELECT = hidden.length > 0 ? fieldsOf(own).map((field) => withoutHidden(field, hidden)).join(', ') : own.SELECT;
  return { ...own, SELECT, FROM: stored.map(({ from }) => from).join(', '), 'GROUP BY': union(known).join(', '), hiddenOf };
}

/** Whether the outer statement can read the tag as a column of this subquery. */
function shows(text, tag) {
  const own = clauses(text);
  if (groupsBy(dimensionsOf(own), tag)) return true;
  const columns = fieldsOf(own).map(({ expression, alias }) => alias ?? expression);
  const below = subqueries(own.FROM);
  return columns.includes(tag) || (columns.some(isPattern) && (!below || below.some((one) => shows(one, tag))));
}

/** Returns the tags by which `GROUP BY *` of a statement over these subqueries groups. */
async function tagsOf(inner, env) {
  const found = [];
  for (const own of inner.map(clauses)) {
    const deeper = subqueries(own.FROM);
    const keys = async () => seriesOf(env.parsed(await env.real(`SHOW TAG KEYS FROM ${own.FROM}`))).flatMap((series) => series.get('values').flat());
    for (const one of dimensionsOf(own).filter((dimension) => !isWindow(dimension))) {
      if (/^[*/]/.test(one)) found.push(...(await (deeper ? tagsOf(deeper, env) : keys())).filter((tag) => groupsBy([one], tag)));
      else found.push(one);
    }
  }
  return found;
}

/**
 * Replaces each selected tag that is in `hidden` with the name of a missing column. Stored points
 * have such a tag because the outer statement groups by it, but the rows of the subquery do not
 * have it.
 */
function withoutHidden({ text, expression, alias }, hidden) {
  return hidden.includes(expression.replace(/::tag$/, '')) ? `absent AS ${alias ?? expression}` : text;
}

async function store(text, context, how) {
  if (how.read === 1) {
    const through = (from, times) => ({ SELECT: '*', FROM: `(${from.SELECT ? statement(from) : from})`, WHERE: and(...times), 'GROUP BY': '*' });
    const whole = { ...context.ranges.reduce(through, text), 'ORDER BY': context.order, hasRows: true };
    return keep(whole, dimensionsOf(clauses(text)).filter((one) => !isWindow(one)), how);
  }
  let own = clauses(text);
  if (how.columns) {
    const read = fieldsOf(own).filter(({ alias }) => how.columns.includes(alias));
    if (read.length === 0 || read.length === fieldsOf(own).length) return undefined;
    own = { ...own, SELECT: read.map((field) => field.text).join(', ') };
  }
  const window = windowOf(own) ?? (WINDOWED.test(own.SELECT) ? context.window : undefined);
  if (how.nested && own.FROM.startsWith('(SELECT')) {
    own = await storeSubqueries(own, context, how.read ? { ...how, read: how.read - 1 } : how);
    if (!own) return undefined;
    own = await widened(own, window, context, how);
  }
  const nested = !how.nested && context.window && !WINDOWED.test(own.SELECT) && subqueries(own.FROM);
  if (nested) own = { ...own, FROM: nested.map((one) => `(${withWindow(one, context.window)})`).join(', ') };
  const tags = dimensionsOf(own).filter((one) => !isWindow(one));
  // Stores each series with all its tags. Without the tags, two rows with the same time would be
  // the same point.
  const isWhole = tags.includes('*') || !/\w\(/.test(own.SELECT);
  // `GROUP BY *` of the outer statement groups by the tags of all subqueries, at every depth.
  // `GROUP BY *` of a subquery groups only by the tags of the subquery directly inside it.
  const passed = !how.nested && own.FROM.startsWith('(SELECT') ? union(tags, context.tags) : [];
  const all = isWhole && !how.isAsWritten ? union(['*'], passed) : union(tags, context.tags);
  const write = {
    ...own,
    WHERE: own.isWide ? own.WHERE : and(...union(termsOf(own), context.times)),
    'GROUP BY': [...all, ...(window ? [window] : [])].join(', '),
    // A subquery has rows for empty windows only with `fill()`.
    ...(window && ['(null)', undefined].includes(own.fill) ? { fill: '(none)' } : {}),
    'ORDER BY': context.order,
  };
  return keep(write, tags, how);
}

/** Adds the windows of the outermost statement to a subquery whose calls inherit them. */
function withWindow(text, window) {
  const own = clauses(text);
  if (windowOf(own)) return text;
  if (WINDOWED.test(own.SELECT)) return statement({ ...own, 'GROUP BY': [...dimensionsOf(own), window].join(', '), fill: own.fill ?? '(none)' });
  const inner = subqueries(own.FROM);
  return inner ? statement({ ...own, FROM: inner.map((one) => `(${withWindow(one, window)})`).join(', ') }) : text;
}

/**
 * Widens the time range, so that it includes all stored rows. Without windows, the time of an
 * aggregate's row is the start of the range. Therefore `startsAt` contains the start of the
 * original range.
 */
async function widened(own, window, context, { env }) {
  const terms = union(termsOf(own), context.times);
  const untimed = and(...terms.filter((term) => !isTime(term)));
  if (!window && WINDOWED.test(own.SELECT)) return { ...own, isWide: true, startsAt: lowest(terms), WHERE: untimed };
  const databases = split(own.FROM, ', ').map((source) => source.split('.')[0]);
  const wider = window && (await boundsOf(terms.filter(isTime), databases, env));
  return wider ? { ...own, isWide: true, WHERE: and(wider, untimed) } : own;
}

async function keep(parts, tags, { keep: write, made }) {
  const database = await write(parts);
  if (!database) return undefined;
  made.push(database);
  return { from: `${database}.autogen./.*/`, tags };
}

const isWritten = ([, body]) => body.includes('"written"') && !body.includes('"error"');
const into = (database, parts) => statement({ ...parts, INTO: `${database}.autogen.:MEASUREMENT` });

/**
 * Stores the rows that the real server computes for the statement in a new database. Returns the
 * database's name. Replaces the time 0 with `parts.startsAt`. With `parts.hasRows`, returns
 * undefined if the statement has no rows, because 1.x reads no rows from a subquery whose first row
 * is before the range.
 */
async function keepTheirs(parts, { real, parsed, write }) {
  const database = scratch();
  await real(`CREATE DATABASE ${database} WITH DURATION INF`);
  const answer = await real(into(database, parts));
  const isStored = isWritten(answer) && !(parts.hasRows && answer[1].includes('[[0,0]]'));
  if (isStored && !parts.startsAt) return database;
  const keys = isStored && parsed(await real('SHOW FIELD KEYS', database));
  const rows = isStored && parsed(await real('SELECT * FROM /.*/ GROUP BY *', database));
  await real(`DROP DATABASE ${database}`);
  if (!isStored) return undefined;
  const moved = scratch();
  await real(`CREATE DATABASE ${moved} WITH DURATION INF`);
  await write(moved, linesOf(keys, rows).map((line) => line.replace(/ 0$/, ` ${parts.startsAt}`)));
  return moved;
}

/**
 * Stores the rows that Tidemark computes for the statement in a new database of the real server.
 * Returns the database's name, or undefined if the statement has no trusted response. With `every`,
 * also stores each row without values, as a point with the field `empty`. With `apart`, stores rows
 * with the same time one nanosecond apart, in Tidemark's order. The map `apart` then gets the
 * original time of each new time.
 */
export async function keepOurs(parts, env, trusted, { every, apart } = {}) {
  const known = await trusted(statement(parts));
  if (!known || (apart && !hasTies(known))) return undefined;
  const database = scratch();
  try {
    await env.own(`CREATE DATABASE ${database} WITH DURATION INF`);
    const isStored = isWritten(await env.own(into(database, parts)));
    const filled = isStored ? await filledColumns(known, parts, env) : [];
    const rows = isStored ? withoutValues(known, filled) : ofOneType(known, parts);
    if (!rows) return undefined;
    const keys = isStored ? env.parsed(await env.own('SHOW FIELD KEYS', database)) : keysOf(rows);
    const stored = isStored ? withoutValues(env.parsed(await env.own('SELECT * FROM /.*/ GROUP BY *', database)), filled) : rows;
    const lines = [...linesOf(keys, stored), ...linesOf(keys, repeated(rows)), ...(every ? emptyRows(rows) : [])];
    await env.real(`CREATE DATABASE ${database} WITH DURATION INF`);
    await env.write(database, apart ? allApart(lines, apart) : lines);
    return database;
  } finally {
    await env.own(`DROP DATABASE ${database}`);
  }
}

function hasTies(document) {
  const times = seriesOf(document).flatMap((series) => series.get('values').map(([time]) => time.text));
  return new Set(times).size < times.length;
}

/**
 * Increases the times of lines with the same time, so that each line is one nanosecond after the
 * previous line.
 */
function allApart(lines, apart) {
  const counts = new Map();
  return lines.map((line) => {
    const [, series, time] = /^(.* )(\d+)$/s.exec(line);
    counts.set(time, (counts.get(time) ?? -1n) + 1n);
    const moved = String(BigInt(time) + counts.get(time));
    apart.set(moved, time);
    return `${series}${moved}`;
  });
}

function togetherAgain(answer, apart) {
  if (!answer || !apart) return answer;
  const [status, body, ...more] = answer;
  return [status, body.replaceAll(/(?<=\[)\d+(?=,)/g, (time) => apart.get(time) ?? time), ...more];
}

/**
 * Finds columns of strings or booleans that contain only the number of `fill()`, or a function of
 * this number. Returns these columns, because an outer statement in Tidemark reads such numbers as
 * null.
 */
async function filledColumns(document, parts, { real, parsed }) {
  if (!/^\(-?\d/.test(parts.fill)) return [];
  const all = seriesOf(document);
  const found = [];
  for (const name of union(...all.map((series) => series.get('columns').slice(1)))) {
    const cells = all.flatMap((series) => series.get('values').map((row) => row[series.get('columns').indexOf(name)])).filter((cell) => cell?.text);
    const isOne = cells.length > 0 && cells.every((cell) => cell.text === cells[0].text);
    const error = isOne && errorOf(parsed(await real(`SELECT ${name} + 1 FROM (${statement(parts)})`)));
    if (error && new RegExp(`^type error: ${name}::(?:string|boolean) `).test(error)) found.push(name);
  }
  return found;
}

function withoutValues(document, names) {
  for (const series of seriesOf(document)) {
    const columns = series.get('columns');
    series.set('values', series.get('values').map((row) => row.map((cell, at) => (names.includes(columns[at]) ? null : cell))));
  }
  return document;
}

const kindOf = (cell) => (cell === null ? undefined : typeof cell === 'object' ? 'float' : typeof cell);
/** The types of values, with the highest precedence first. */
const KINDS = ['float', 'string', 'boolean'];

/**
 * Returns the rows with only one type of values in each column, because a field cannot store
 * several types. This is how an outer statement in Tidemark reads the rows:
 * - In a column of strings or booleans, the number of `fill()` is null.
 * - If the subquery itself reads several subqueries, only the values of the type with the highest
 *   precedence remain.
 *
 * Returns undefined for any other mixture of types.
 */
function ofOneType(document, parts) {
  const number = /^\((-?[\d.]+)\)$/.exec(parts.fill)?.[1];
  const isSeveral = subqueries(parts.FROM)?.length > 1;
  const all = new Map();
  for (const series of seriesOf(document)) {
    for (const [at, name] of series.get('columns').entries()) {
      const known = all.get(name) ?? [];
      all.set(name, known);
      for (const row of series.get('values')) if (at > 0 && row[at] !== null) known.push(row[at]);
    }
  }
  const types = new Map();
  let isMixed = false;
  for (const [name, cells] of all) {
    const kinds = KINDS.filter((kind) => cells.some((cell) => kindOf(cell) === kind));
    isMixed ||= kinds.length > 1;
    if (kinds.length < 2 || isSeveral) types.set(name, kinds[0]);
    else if (number !== undefined && kinds.length === 2 && cells.every((cell) => kindOf(cell) === kinds[1] || cell.text === number)) types.set(name, kinds[1]);
    else return undefined;
  }
  if (!isMixed) return undefined;
  const series = seriesOf(document).map((one) => {
    const columns = one.get('columns');
    const values = one.get('values').map((row) => row.map((cell, at) => (at === 0 || kindOf(cell) === types.get(columns[at]) ? cell : null)));
    return new Map([...one, ['values', values]]);
  });
  return new Map([['results', [new Map([['series', series]])]]]);
}

/** Returns the types of the columns in the format of SHOW FIELD KEYS. Every number is a float. */
function keysOf(document) {
  const series = seriesOf(document).map((one) => {
    const keys = one.get('columns').flatMap((name, at) => {
      const kind = at > 0 && one.get('values').map((row) => kindOf(row[at])).find(Boolean);
      return kind ? [[name, kind]] : [];
    });
    return new Map([['name', one.get('name')], ['values', keys]]);
  });
  return new Map([['results', [new Map([['series', series]])]]]);
}

const ROW_NUMBER = 'row';

/**
 * Returns the rows that have the same series and time as a later row, such as the values of
 * `distinct`. If stored, the later row would overwrite them. Each row therefore gets an additional
 * tag, which makes it a separate point.
 */
function repeated(document) {
  const series = seriesOf(document).flatMap((one) => {
    const rows = one.get('values');
    return [...groupBy(rows, ([time]) => time.text).values()].flatMap((same) =>
      same.slice(0, -1).map((row, number) => new Map([...one, ['tags', new Map([...(one.get('tags') ?? []), [ROW_NUMBER, String(number)]])], ['values', [row]]])),
    );
  });
  return new Map([['results', [new Map([['series', series]])]]]);
}

function emptyRows(document) {
  return seriesOf(document).flatMap((series) => {
    const empty = series.get('values').filter(([, ...cells]) => cells.every((cell) => cell === null));
    return linesOfSeries([new Map([...series, ['values', empty.map(([time]) => [time, true])]])], 'empty');
  });
}

export function scratch() {
  databases += 1;
  return `stored${databases}`;
}
