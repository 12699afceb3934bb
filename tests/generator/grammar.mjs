// Generates random statements from InfluxQL's grammar: expressions, casts, calls and conditions at
// any place. Many statements are errors, and both servers must return the same text.
//
// Does not generate the following statements. For them, 1.x and Tidemark differ in a known way, but
// no rule proves the difference:
// - mathematical functions in conditions, of literals, and as operands of bitwise operators
// - tags compared by order with other names
// - transformations and `distinct` over two policies
// - OFFSET without LIMIT
// - fill() in a subquery, except fill(none)
// - functions that choose one of several equal points

import { START_NS } from './data.mjs';

const START_S = Number(START_NS / 1_000_000_000n);
const SPAN_S = 60;
/** `k` is both a tag and a field. Only statements without calls and subqueries have quoted names. */
const FIELDS = { a: 'float', b: 'integer', c: 'string', d: 'boolean', k: 'integer', e: 'float' };
const QUOTED = ['"é x"', '"from"', '"q\\"t"', '"a.b"'];
const TAGS = ['k', 'l', 'm'];
const ARITHMETIC = ['+', '-', '*', '/', '%'];
const BITWISE = ['&', '|', '^'];
const COMPARISONS = ['=', '!=', '<', '<=', '>', '>=', '<>'];
const AGGREGATES = ['count', 'sum', 'mean', 'median', 'spread', 'stddev', 'min', 'max', 'first', 'last'];
const TRANSFORMS = ['difference', 'non_negative_difference', 'derivative', 'non_negative_derivative', 'cumulative_sum', 'elapsed', 'moving_average'];
const MATH = ['abs', 'ceil', 'floor', 'round', 'sqrt', 'ln', 'pow', 'sin'];
const CASTS = ['float', 'integer', 'string', 'boolean', 'field', 'tag'];

/** Returns the lines of the measurements `one` and `two w` by policy. All points have different times. */
export function grammarLines(random, policy) {
  const values = {
    float: () => random.int(-20, 90) / 4,
    integer: () => `${random.int(-3, 20)}i`,
    string: () => `"${random.pick(['up', 'down', '7', ''])}"`,
    boolean: () => random.chance(0.5),
  };
  const names = { ...FIELDS, ...Object.fromEntries(QUOTED.map((name) => [name, 'float'])) };
  const points = (name, count, step, from) =>
    Array.from({ length: count }, (_, n) => {
      const tags = TAGS.filter(() => random.chance(0.7)).map((tag) => `,${tag}=${random.pick(['x', 'y', 'z'])}`);
      const fields = Object.keys(names).filter((field) => field === 'a' || random.chance(0.7)).map((field) => `${unquoted(field)}=${values[names[field]]()}`);
      return `${name}${tags.join('')} ${fields} ${BigInt(START_S + from + n * step) * 1_000_000_000n}`;
    });
  return { autogen: [...points('one', 25, 2, 0), ...points('two\\ w', 12, 4, 1)], [policy]: points('one', 10, 4, 3) };
}

const unquoted = (name) => name.replace(/^"|"$/g, '').replace(/\\"/g, '"').replace(/ /g, '\\ ');

/** `database` contains the measurements, and `policy` is its second policy. */
export function grammarStatement(random, database, policy) {
  return new Grammar(random, database, policy).select(random.weighted([[65, 0], [25, 1], [10, 2]]), false);
}

class Grammar {
  constructor(random, database, policy) {
    this.random = random;
    this.sources = {
      one: [`${database}..one`, `${database}.${policy}.one`, `${database}.."two w"`],
      several: [`${database}..one, ${database}.."two w"`, `${database}.autogen.one, ${database}.${policy}.one`, `${database}.autogen./one|two/`],
    };
  }

  select(depth, isInner) {
    const { random } = this;
    const calls = random.chance(0.5);
    const isSeveral = depth === 0 && random.chance(0.15);
    const isPlain = depth === 0 && !calls && !isInner && random.chance(0.2);
    const names = depth > 0 ? ['x', 'x', 'y', 'z', 'a', 'mean', ...TAGS] : [...Object.keys(FIELDS), ...Object.keys(FIELDS), ...TAGS, ...(isPlain ? QUOTED : [])];
    const how = { names, isSeveral, isNested: depth > 0 };
    const column = () => (calls && random.chance(0.92) ? this.call(how) : this.operand(how));
    const list = Array.from({ length: random.weighted([[50, 1], [30, 2], [20, 3]]) }, (_, at) => `${column()}${isInner || random.chance(0.2) ? ` AS ${['x', 'y', 'z'][at]}` : ''}`);
    const shown = !calls && random.chance(0.1) ? random.pick(['*', '*::field', '*::tag, a', '/[abk]/', '*, a']) : list.join(', ');
    const isWindowed = calls && random.chance(0.35);
    const terms = isWindowed || random.chance(0.15) ? [`time >= ${START_S + random.int(0, 10)}s`, `time < ${START_S + random.int(20, SPAN_S)}s`] : [];
    if (random.chance(0.4)) terms.push(`(${this.condition(how, 2)})`);
    const dimensions = random.chance(0.4) ? [random.pick(['k', 'l', 'm', '*', 'k, l', 'k::tag', 'nope', 'l, m', 'a', 'k::field', ...(depth > 0 || isInner ? [] : ['/[kl]/'])])] : [];
    if (isWindowed) dimensions.push(`time(${random.pick(['5s', '10s', '20s', '1m'])})`);
    const inner = () => `(${this.select(depth - 1, true)})`;
    const parts = [`SELECT ${shown} FROM ${depth > 0 ? inner() : random.pick(this.sources[isSeveral ? 'several' : 'one'])}`];
    if (terms.length > 0) parts.push(`WHERE ${terms.join(' AND ')}`);
    if (dimensions.length > 0) parts.push(`GROUP BY ${dimensions.join(', ')}`);
    if (isWindowed && random.chance(0.7)) parts.push(`fill(${random.pick(isInner ? ['none'] : ['null', 'none', 'previous', 'linear', '0', '-1.5', '7'])})`);
    if (!calls && random.chance(0.05)) parts.push('fill(previous)');
    if (!isInner && random.chance(0.2)) parts.push('ORDER BY time DESC');
    if (!isInner && random.chance(0.1)) parts.push(`LIMIT ${random.int(1, 5)}${random.pick(['', ' OFFSET 1'])}`);
    return parts.join(' ');
  }

  name({ names }) {
    const { random } = this;
    const name = random.pick(names);
    return random.chance(0.15) && !name.startsWith('"') ? `${name}::${random.pick(CASTS)}` : name;
  }

  literal() {
    return this.random.pick(['0', '1', '2', '-3', '2.5', '10', '-0.5', "'x'", 'true', 'false', '9223372036854775807', '1h', "'up'", '-1s', '3.0']);
  }

  operand(how, depth = 2) {
    const { random } = this;
    const again = (more) => this.operand({ ...how, ...more }, depth - 1);
    const ways = [[55, () => this.name(how)], [15, () => this.literal()]];
    if (depth > 0) {
      ways.push([17, () => `${again()} ${random.pick(ARITHMETIC)} ${again()}`], [7, () => `${again({ isBits: true })} ${random.pick(BITWISE)} ${again({ isBits: true })}`]);
      ways.push([8, () => `(${again()})`], [5, () => `-${random.pick(how.names)}`], [2, () => `-(${again()})`]);
      if (!how.isCondition && !how.isBits) ways.push([6, () => this.math(this.name(how))]);
    }
    return random.weighted(ways)();
  }

  math(argument) {
    const name = this.random.pick(MATH);
    return `${name}(${argument}${name === 'pow' ? `, ${this.random.pick([2, 0.5, -1])}` : ''})`;
  }

  call(how, depth = 1) {
    const { random } = this;
    const field = random.weighted([[88, () => this.name(how)], [4, () => '*'], [3, () => '/[ab]/'], [3, () => this.operand({ ...how, isBits: true }, 1)], [1, () => '*::field'], [1, () => '*::tag']])();
    const aggregate = () => `${random.pick(AGGREGATES)}(${field})`;
    const ways = [[60, aggregate], [6, () => `${random.pick(['top', 'bottom'])}(${field}${random.pick(['', '', ', k', ', l, m'])}, ${random.int(1, 4)})`]];
    if (!how.isSeveral) {
      ways.push([4, () => `distinct(${field})`], [3, () => `count(distinct(${field}))`], [8, () => this.transform(field)], [6, () => this.transform(aggregate())]);
    }
    if (depth > 0) {
      ways.push([10, () => `${this.call(how, 0)} ${random.pick(ARITHMETIC)} ${random.chance(0.5) ? this.call(how, 0) : this.literal()}`]);
      ways.push([3, () => `-(${this.call(how, 0)})`], [4, () => this.math(this.call(how, 0))]);
    }
    return random.weighted(ways)();
  }

  transform(argument) {
    const { random } = this;
    const name = random.pick(TRANSFORMS);
    const more = name === 'moving_average' ? `, ${random.int(1, 3)}` : /derivative|elapsed/.test(name) ? random.pick(['', ', 1s', ', 2m']) : '';
    return `${name}(${argument}${more})`;
  }

  condition({ names, isNested }, depth) {
    const { random } = this;
    const how = { names, isNested, isCondition: true };
    const again = () => this.condition(how, depth - 1);
    // In a subquery, a name that does not exist is read as a missing tag.
    const isTag = (side) => (isNested ? /[a-z]/ : /^[(-]*[klm]\b/).test(side);
    const compared = () => {
      const [left, right] = [this.operand(how, 1), this.operand(how, 1)];
      return `${left} ${random.pick(isTag(left) || isTag(right) ? ['=', '!='] : COMPARISONS)} ${right}`;
    };
    const ways = [
      [40, compared],
      [10, () => `${random.pick(TAGS)} ${random.pick(['=', '!='])} '${random.pick(['x', 'y', '', 'nope'])}'`],
      [8, () => `${this.name(how)} ${random.pick(['=~', '!~'])} ${random.pick(['/x/', '/^$/', '/[yz]/', '/./'])}`],
      [3, () => random.pick(['true', 'false', 'd', "'x' = 'x'", '1 < 2', 'd = true', '(d)'])],
    ];
    if (depth > 0) {
      ways.push([15, () => `${again()} ${random.pick(['AND', 'OR'])} ${again()}`], [8, () => `(${again()})`]);
      ways.push([8, () => `(${again()}) ${random.pick(['=', '!='])} ${random.pick(['true', 'false', `(${this.condition(how, 0)})`])}`]);
    }
    return random.weighted(ways)();
  }
}
