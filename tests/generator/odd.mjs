// Generates random statements about cases that the general SELECT of `queries.mjs` omits, such as
// equal times, names of both a tag and a field, casts around subqueries, and fields whose types
// differ between measurements. Except for comparisons of tags by order, 1.x returns the same result
// each time.

import { escape, START_NS } from './data.mjs';
import { grammarLines, grammarStatement } from './grammar.mjs';

/** The database of this file's measurements, and its second retention policy. */
export const ODD = 'odd';
export const POLICY = 'other';
const START_S = Number(START_NS / 1_000_000_000n);
const VALUES = [0, 1, 1, 2, 2, 3, 4.5, -1];
const MIXED = [
  { a: 'float', b: 'integer', c: 'string', d: 'boolean' },
  { a: 'integer', b: 'float', c: 'string', d: 'float' },
  { a: 'string', b: 'integer', c: 'boolean', d: 'integer' },
];
const SIGNS = ['a.b', 'a/b', 'a|b', 'a*b', '(x)', '[x]', 'a+b', 'x^2', '$5', "it's", 'say "x"', 'é', 'ab x', 'A.B', 'a-b', '42', '{1}'];
/** The tags of the measurements `twins` and `both`. Some series do not have all tags. */
const TAGS = { k: ['1', '2', '10', 'x', 'x-1', 'x y', 'x,1'], l: ['a', 'b', 'a=b'], m: ['p', 'q'] };

/** Returns the lines by retention policy. */
export function oddLines(random) {
  const seconds = (s) => `${BigInt(START_S + s) * 1_000_000_000n}`;
  const value = () => random.pick(VALUES);
  const twins = [];
  const keys = new Set();
  for (let left = 12; left > 0; left -= 1) {
    const tags = Object.keys(TAGS).filter(() => random.chance(0.6)).map((tag) => `,${tag}=${escape(random.pick(TAGS[tag]))}`);
    keys.add(tags.join(''));
  }
  for (const key of keys) for (const s of [0, 60]) twins.push(`twins${key} v=${random.int(0, 40)},b=${random.chance(0.5)} ${seconds(s)}`);
  const both = Array.from({ length: 30 }, (_, n) => {
    const fields = [`v=${random.int(0, 50)}`, ...(random.chance(0.7) ? [`k=${random.int(0, 3)}`] : []), ...(random.chance(0.5) ? [`n=${random.int(0, 9)}i`] : [])];
    return `both,k=${random.pick(['a', 'b', 'c'])},l=${random.pick(['x', 'y'])} ${fields} ${seconds(n)}`;
  });
  const few = Array.from({ length: 11 }, (_, n) => `few x=${value()},i=${random.int(0, 3)}i,s="${random.pick(['a', 'b'])}" ${seconds(n)}`);
  const pieces = (from, count) => Array.from({ length: count }, (_, n) => `shared,k=${random.pick(['a', 'b'])} v=${value()},n=${random.int(0, 9)}i ${seconds(from + 2 * n)}`);
  const typed = { float: () => random.int(-20, 90) / 4, integer: () => `${random.int(-3, 20)}i`, string: () => `"${random.pick(['up', 'down', '7'])}"`, boolean: () => random.chance(0.5) };
  const mixed = MIXED.flatMap((types, number) =>
    Array.from({ length: 14 }, (_, n) => {
      const fields = Object.keys(types).filter((name) => name === 'b' || random.chance(0.7));
      return `t${number},k=${random.pick(['x', 'y'])} ${fields.map((name) => `${name}=${typed[types[name]]()}`)} ${seconds(3 * n + number)}`;
    }),
  );
  const signs = SIGNS.map((tag, n) => `signs,k=${escape(tag)}${random.chance(0.7) ? `,l=${escape(random.pick(SIGNS))}` : ''} v=${n},s="${tag.replace(/"/g, '\\"')}" ${seconds(n)}`);
  const lines = { autogen: [...twins, ...both, ...few, ...pieces(0, 20), ...mixed, ...signs], [POLICY]: pieces(1, 20) };
  const more = grammarLines(random, POLICY);
  return Object.fromEntries(Object.entries(lines).map(([policy, own]) => [policy, [...own, ...more[policy]]]));
}

/** `data` contains the measurements that `randomData` has generated. */
export function oddStatement(random, data) {
  const kinds = { twins, both, few, casts, policies, compared, ordered, mixed, signs };
  if (random.chance(0.3)) return { text: grammarStatement(random, ODD, POLICY), tied: false };
  return { text: kinds[random.pick(Object.keys(kinds))](random, data), tied: false };
}

function twins(random) {
  const call = `${random.pick(['first', 'last'])}(${random.pick(['v', 'b'])})`;
  const group = random.weighted([[60, ''], [30, ` GROUP BY ${random.pick(['k', 'l', 'm'])}`], [10, ' GROUP BY k, l']]);
  return `SELECT ${call} FROM ${ODD}..twins${random.chance(0.2) ? " WHERE k != 'x'" : ''}${group}`;
}

function both(random) {
  const call = random.pick(['top', 'bottom']);
  const tags = random.pick(['k', 'k', 'k, l', 'l', 'k::tag', 'n', 'nope']);
  const group = random.pick(['', '', ' GROUP BY l', ' GROUP BY k']);
  return random.pick([
    `SELECT ${call}(v, ${tags}, ${random.int(1, 5)}) FROM ${ODD}..both${group}`,
    `SELECT ${call}(v, ${random.int(1, 5)}), k${random.pick(['', '::tag', '::field'])} FROM ${ODD}..both${group}`,
    `SELECT ${call}(v, k, ${random.int(1, 5)}) FROM (SELECT ${random.pick(['v', 'k, v', 'v, k', 'v * 2 AS v'])} FROM ${ODD}..both GROUP BY k)`,
    `SELECT ${random.pick(['*', 'k, v', 'k::tag, v', '/k|v/', 'v, *::tag', 'mean(*)', 'max(k)', 'count(k)'])} FROM ${ODD}..both${group}`,
    `SELECT v FROM ${ODD}..both WHERE ${random.pick(["k = 'a'", 'k = 2', "k::tag = 'a'", 'k::field > 1', "k::tag != 'b' AND k < 3", 'k = v'])}${group}`,
    `SELECT ${random.pick(['k', 'v, k', 'mean(v)', 'k, mean(v)'].slice(0, 3))} FROM (SELECT v${random.pick(['', ', k'])} FROM ${ODD}..both GROUP BY k)${random.pick(['', ' GROUP BY k'])}`,
  ]);
}

const FEW = `${ODD}..few`;

function few(random) {
  const field = random.pick(['x', 'i']);
  const call = random.pick([
    'mode(s)', `mode(${field})`, `mode(${field})`, `percentile(${field}, ${random.pick([1, 10, 25, 33.3, 50, 75, 90, 100])})`,
    `percentile(${field}, ${random.pick([10, 50, 90])})`, `min(${field})`, `max(${field})`, `first(${field})`, `last(s)`, `top(${field}, ${random.int(1, 4)})`,
    `bottom(${field}, ${random.int(1, 4)})`, `distinct(${field})`, `median(${field})`, `difference(${field})`,
  ]);
  const from = random.pick([FEW, FEW, FEW, `(SELECT x, i, s FROM ${FEW})`]);
  const windows = from === FEW && random.chance(0.3) && !/difference/.test(call);
  const where = windows ? ` WHERE time >= ${START_S}s AND time < ${START_S + 12}s GROUP BY time(${random.pick(['4s', '6s', '12s'])})` : '';
  return `SELECT ${call} FROM ${from}${where}${random.pick(['', ' ORDER BY time DESC', ' ORDER BY time DESC'])}`;
}

/**
 * Returns a measurement whose points all have different times, and the measurement's name in a
 * statement.
 */
function sourceOf(random, measurements) {
  const source = random.pick(measurements.filter(({ aligned }) => !aligned));
  return [source, /^\w+$/.test(source.name) ? source.name : `"${source.name}"`];
}

function casts(random, { measurements }) {
  const [source, name] = sourceOf(random, measurements);
  const field = random.pick(source.fields);
  const cast = random.pick(['float', 'integer', 'integer', 'string', 'boolean', 'field']);
  const inner = random.pick([`SELECT ${field} AS x FROM ${name}`, `SELECT ${field} AS x, f FROM ${name}`, `SELECT x FROM (SELECT ${field} AS x FROM ${name})`, `SELECT mean(f) AS x FROM ${name}`, `SELECT max(f) AS x FROM ${name} GROUP BY *`]);
  const number = random.pick(['float', 'integer']);
  const shown = random.pick([`x::${cast}`, `x::${cast}`, `x::${cast} AS y`, `count(x::${number})`, `max(x::${number})`, `sum(x::${number})`, `mean(x::${number})`, `last(x::${number})`]);
  const where = random.pick(['', '', ' WHERE x::integer > 3', ' WHERE x::float < 20.5']);
  return `SELECT ${shown} FROM (${inner})${where}`;
}

const FIRST = `${ODD}.autogen.shared`;
const SECOND = `${ODD}.${POLICY}.shared`;

function policies(random) {
  const from = random.pick([SECOND, FIRST, `${FIRST}, ${SECOND}`, `${SECOND}, ${FIRST}`, `${ODD}..shared`, `${ODD}.${POLICY}./sh/`, `(SELECT v, n FROM ${SECOND})`, `(SELECT v, n FROM ${FIRST}, ${SECOND})`]);
  const shown = random.pick(['v', 'v, n', '*', 'count(v)', 'sum(n)', 'mean(v)', 'max(n)', 'first(v)', 'last(v)', 'count(*)', 'spread(n)']);
  const isCall = shown.includes('(');
  const where = random.pick(['', '', " WHERE k = 'a'", ` WHERE time > ${START_S + 7}s`, ' WHERE v > 1']);
  const group = random.pick(['', '', ' GROUP BY k', ' GROUP BY *']);
  const windowed = isCall && random.chance(0.3) ? ` WHERE time >= ${START_S}s AND time < ${START_S + 40}s GROUP BY time(10s)` : `${where}${group}`;
  return `SELECT ${shown} FROM ${from}${windowed}`;
}

/**
 * Returns a random condition without comparisons of tags by order. `depth` limits the nesting of
 * conditions.
 */
function condition(random, { fields, tags, types }, depth) {
  const again = () => condition(random, { fields, tags, types }, depth - 1);
  const isOrdered = (name) => ['float', 'integer'].includes(types[name]);
  const numbers = fields.filter(isOrdered);
  const simple = () => {
    const field = random.pick(fields);
    const tag = random.pick(tags);
    if (random.chance(0.35)) return `${tag} ${random.pick(['=', '!='])} '${random.pick(['a', 'x', 'db', ''])}'`;
    if (random.chance(0.1)) return `${tag} ${random.pick(['=~', '!~'])} ${random.pick(['/a|x/', '/^$/'])}`;
    if (types[field] === 'string') return `${field} ${random.pick(['=', '!='])} '${random.pick(['up', 'down'])}'`;
    if (types[field] === 'boolean') return `${field} ${random.pick(['=', '!='])} ${random.chance(0.5)}`;
    return `${random.pick([field, field, `${field} + 1`, `(${field})`])} ${random.pick(['<', '>', '<=', '>=', '=', '!='])} ${random.pick([0, 3, 25, random.pick(numbers)])}`;
  };
  if (depth === 0) return simple();
  const flags = fields.filter((name) => types[name] === 'boolean');
  const equals = random.pick(['=', '!=']);
  return random.weighted([
    [30, () => `(${again()}) ${equals} ${random.chance(0.5)}`],
    [10, () => `${random.chance(0.5)} ${equals} (${again()})`],
    [25, () => `(${again()}) ${equals} (${again()})`],
    [8, () => (flags.length > 0 ? `${random.pick(flags)} ${equals} (${again()})` : simple())],
    [5, () => (flags.length > 0 ? `(${again()}) ${equals} ${random.pick(flags)}` : simple())],
    [4, () => `((${again()}) ${random.pick(['&', '|', '^'])} (${again()})) ${equals} true`],
    [9, () => `(${again()} ${random.pick(['AND', 'OR'])} ${again()})`],
    [3, () => `(${again()}) ${equals} ${random.pick(["'x'", '1', random.pick(numbers)])}`],
    [6, simple],
  ])();
}

function compared(random, { measurements, types }) {
  const [source, name] = sourceOf(random, measurements);
  const where = condition(random, { ...source, types }, random.int(1, 3));
  const more = random.chance(0.2) ? ` ${random.pick(['AND', 'OR'])} ${condition(random, { ...source, types }, random.int(0, 1))}` : '';
  const group = random.pick(['', '', ' GROUP BY *']);
  return `SELECT ${random.pick(['f', '*', 'count(f)', 'f, i, b'.replace(/, ([ib])/g, (all, one) => (source.fields.includes(one) ? all : ''))])} FROM ${name} WHERE ${where}${more}${group}`;
}

function ordered(random, { measurements, tagValues }) {
  const [source, name] = sourceOf(random, measurements);
  const term = () => {
    const tag = random.pick(source.tags);
    const value = random.pick([...tagValues[tag], '', 'm', 'z']);
    const sign = random.pick(['<', '<=', '>', '>=']);
    return random.chance(0.8) ? `${tag} ${sign} '${value}'` : `'${value}' ${sign} ${tag}`;
  };
  const more = random.pick(['', '', ` AND f > 3`, ` OR ${term()}`, ` AND ${term()}`]);
  return `SELECT ${random.pick(['f', 'count(f)', '*'])} FROM ${name} WHERE ${term()}${more}${random.pick(['', ' GROUP BY *'])}`;
}

const COLUMNS = ['a', 'b', 'c', 'd'];

function mixed(random) {
  const names = random.some(['t0', 't1', 't2'], random.int(2, 3)).map((name) => `${ODD}..${name}`);
  const from = random.pick([names.join(', '), names.join(', '), `${ODD}.autogen./^t[0-9]$/`, `${ODD}..t${random.int(0, 2)}`]);
  const field = () => random.pick(COLUMNS);
  const cast = () => random.pick(['', '', '', '::float', '::integer', '::string', '::boolean', '::field']);
  const number = () => random.pick([0, 3, 2.5, 7]);
  const shown = random.pick([
    () => random.some(COLUMNS, random.int(1, 3)).map((name) => `${name}${cast()}`).join(', '),
    () => random.pick(['*', '*::field', '/[ab]/', '/[cd]/, k']),
    () => `${random.pick(['count', 'first', 'last', 'max', 'min', 'mode', 'distinct', 'sum', 'mean', 'spread', 'median'])}(${field()}${random.pick(['', '', '::float', '::integer', '::field'])})`,
    () => `${random.pick(['count', 'last', 'max', 'sum', 'mean'])}(*)`,
    () => `${random.pick(['first', 'max', 'percentile'])}(b${random.pick(['', ''])}), ${field()}`.replace('percentile(b)', 'percentile(b, 50)'),
    () => `${field()} ${random.pick(['+', '-', '*', '/', '%', '&'])} ${random.pick([field(), number(), number()])}`,
    () => `${random.pick(['abs', 'floor', 'sqrt'])}(${field()}), ${field()}`,
    () => `count(${field()}), max(b), sum(b)`,
  ])();
  const condition = () =>
    random.pick([
      // If a condition has two casts of one field, 1.x applies only one of them.
      () => `${field()}${cast()} ${random.pick(['=', '!=', '<', '>=', '>'])} ${random.pick([number(), "'up'", 'true'])}`,
      () => `${field()} ${random.pick(['=', '!=', '<', '>=', '>'])} ${field()}`,
      () => `${field()} ${random.pick(['=~', '!~'])} ${random.pick(['/u/', '/7/', '/^$/'])}`,
      () => `k ${random.pick(['=', '!='])} '${random.pick(['x', 'y'])}'`,
    ])();
  const where = random.pick(['', '', ` WHERE ${condition()}`, ` WHERE ${condition()} ${random.pick(['AND', 'OR'])} ${condition()}`]);
  const isCall = /^\w+\([a-d*]/.test(shown) && !/^(?:abs|floor|sqrt)/.test(shown);
  const bounds = `time >= ${START_S}s AND time < ${START_S + 45}s`;
  const group = isCall && random.chance(0.3) ? ` GROUP BY time(15s) fill(${random.pick(['null', 'none', 'previous', '0', '2.5'])})` : random.pick(['', '', ' GROUP BY k', ' GROUP BY *', ' fill(4)']);
  const limited = group.includes('time(') ? (where ? `${where} AND ${bounds}` : ` WHERE ${bounds}`) : where;
  if (random.chance(0.2)) return `SELECT ${random.pick(['a', 'b, d', 'max(b)', 'count(c)', '*', 'last(a)'])} FROM (SELECT ${random.some(COLUMNS, random.int(2, 4)).join(', ')} FROM ${from}${where})`;
  return `SELECT ${shown} FROM ${from}${limited}${group}`;
}

function signs(random) {
  const value = () => random.pick(SIGNS);
  const quoted = (text) => text.replace(/[\\']/g, '\\$&');
  const exact = (text) => text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');
  const pattern = () =>
    random.pick([
      () => `/^${exact(value())}$/`,
      () => `/${exact(value().slice(0, 2))}/`,
      () => `/${random.pick(['^a.b$', '^a\\.b$', 'a\\/b', 'a\\|b|\\(x\\)', '^\\d+$', '\\D', '^\\w+$', '\\W', '\\s', '\\S\\s\\S', '[[:punct:]]', '[^[:alnum:]]', '(?i)^a\\.B$', '^\\pL$', '\\x2e', '\\.', '[.]', '[\\]\\[]', '^.{1,3}$', '^(?:a|x).*', '\\bb\\b', '\\$5', '^[$]', "'", '"', '\\t', '\\{1\\}', '^$', '.', '', '^[^a]', '\\^2', '\\Ax', 'b\\z'])}/`,
    ])();
  // In 1.x, a policy without the measurement has no fields.
  const isShow = random.chance(0.2);
  const key = () => random.pick(['k', 'k', 'l', 'k::tag', '"k"', 'nope', ...(isShow ? [] : ['s'])]);
  const one = () =>
    random.pick([
      () => `${key()} ${random.pick(['=~', '!~'])} ${pattern()}`,
      () => `${key()} ${random.pick(['=', '!='])} '${quoted(value())}'`,
      () => `${random.pick(['k', 'l'])} ${random.pick(['=', '!='])} ${random.pick(['l', 'k', ...(isShow ? [] : ['s'])])}`,
      () => `v ${random.pick(['<', '>=', '='])} ${random.int(0, 16)}`,
    ])();
  const where = random.pick([one, () => `${one()} AND ${one()}`, () => `${one()} OR ${one()}`, () => `(${one()} OR ${one()}) AND ${one()}`, () => `${one()} OR (${one()} AND ${one()})`])();
  if (isShow && random.chance(0.7)) return `SHOW ${random.pick(['SERIES', 'TAG KEYS', 'SERIES EXACT CARDINALITY'])} ON ${ODD} FROM signs WHERE ${where}`;
  if (isShow) return `SHOW TAG VALUES ON ${ODD} FROM signs WITH KEY ${random.pick(['= k', '=~ /^[kl]$/', 'IN (k, l)'])} WHERE ${where}`;
  const from = random.pick([`${ODD}..signs`, `${ODD}..signs`, `(SELECT v, s FROM ${ODD}..signs GROUP BY k, l)`]);
  return `SELECT ${random.pick(['v', 'k, v', 'count(v)', 's', 'v, *::tag', 'max(v), k'])} FROM ${from} WHERE ${where}${random.pick(['', '', ' GROUP BY k', ' GROUP BY *'])}`;
}
