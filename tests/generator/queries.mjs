// Generates random SELECT statements over a random schema.

import { SPAN_S, START_NS } from './data.mjs';
import { into, show, timed } from './time_into_show.mjs';
import { AGGREGATES, FUNCTIONS, MATH, TRANSFORMS } from './functions.mjs';
import { oddStatement } from './odd.mjs';

const NAMES = Object.keys(FUNCTIONS);
const NOT_NUMBERS = ['sqrt', 'stddev', 'exp', 'ln', 'log', 'log2', 'log10', 'asin', 'acos', 'pow', 'tan', 'atan2', 'sample',
  'kaufmans_efficiency_ratio', 'kaufmans_adaptive_moving_average', 'chande_momentum_oscillator',
  'relative_strength_index', 'triple_exponential_derivative'];
const ORDERED = ['TRANSFORMS', 'TECHNICAL'];
const START_S = Number(START_NS / 1_000_000_000n);

/** 1.x mixes the types of two columns with the same name. */
function unused(columns) {
  const names = columns.map(({ name }) => name);
  for (let number = columns.length; ; number += 1) if (!names.includes(`c${number}`)) return `c${number}`;
}

export class Queries {
  constructor(random, data) {
    this.random = random;
    this.data = data;
    this.targets = 0;
  }

  /**
   * Returns a random statement. `tied` is true if its result may contain rows of several series
   * with the same time.
   */
  next() {
    const { random } = this;
    const kind = random.weighted([[65, 'one'], [17, 'odd'], [5, 'timed'], [5, 'show'], [5, 'into'], [3, 'several']]);
    if (kind === 'timed') return timed(random);
    if (kind === 'show') return show(random);
    if (kind === 'odd') return oddStatement(random, this.data);
    const one = this.one();
    // Does not add INTO to the following statements, because the two servers would store different
    // rows:
    // - Samples differ between executions.
    // - `fill(number)` replaces a missing string with a number, so the column has two types.
    // - INTO needs a time range with both bounds.
    // - 1.x omits the series that follow a series without a point at the percentile.
    // - 1.x joins integral() in a wrong order.
    const odd = / S?LIMIT |\babs\(|sample\(|percentile\(|integral\(|mode\(|fill\([-\d]|time <(?!.*time >)/;
    if (kind === 'into' && !one.tied && !odd.test(one.text)) {
      this.targets += 1;
      // The target measurement may merge several series into one.
      return { text: into(random, one.text, this.targets), tied: true };
    }
    if (kind !== 'several') return one;
    const two = random.pick([() => this.one(), () => show(random), () => timed(random)])();
    return { text: `${one.text}; ${two.text}`, tied: one.tied || two.tied };
  }

  one() {
    const { random } = this;
    const feature = random.chance(0.86) ? random.pick(NAMES) : null;
    const query = this.select({ depth: this.depth(feature), feature });
    return { text: random.chance(0.06) ? this.spoilt(query) : query.text, tied: query.tied };
  }

  /**
   * Returns how many statements surround the subquery that contains this function. Returns 0 if the
   * function must be in the outermost statement.
   */
  depth(feature) {
    // Inside a subquery, NaN is a value in 1.6.7 and null in later versions.
    if (NOT_NUMBERS.includes(feature)) return 0;
    return this.random.weighted([[73, 0], [18, 1], [6, 2], [3, 3]]);
  }

  select({ depth, feature, inner = false, outer = null }) {
    const { random } = this;
    const scope = depth > 0 ? this.subquery(depth, feature) : this.sources();
    const windowed = this.windowed(scope, feature, depth, outer);
    const grouped = this.grouping(scope, ORDERED.includes(FUNCTIONS[feature]?.family) || feature === 'integral');
    const fields = this.fields(scope, depth > 0 ? null : feature, windowed, inner);
    const dimensions = [...grouped.dimensions, ...(windowed ? [windowed] : [])];
    const parts = [`SELECT ${fields.text} FROM ${scope.from}`];
    const where = this.where(scope, windowed !== null, windowed?.includes(','));
    if (where) parts.push(`WHERE ${where}`);
    if (dimensions.length > 0) parts.push(`GROUP BY ${dimensions.join(', ')}`);
    if (windowed && random.chance(0.7)) parts.push(`fill(${this.fill(inner, fields.columns)})`);
    const untied = !scope.tied || (grouped.whole && scope.raw);
    // `fill(number)` replaces a missing string with a number, so a column of the subquery has two
    // types.
    if (fields.raw && untied && !inner && random.chance(0.1)) parts.push(`fill(${random.pick(['previous', '3.7', '0'])})`);
    const descending = inner ? scope.descending : random.chance(0.15);
    if (descending && !inner && depth === 0) parts.push('ORDER BY time DESC');
    else if (!inner && depth === 0 && random.chance(0.05)) parts.push('ORDER BY time');
    const tied = scope.tied && !(grouped.whole && scope.raw);
    // Several series of the subquery may have rows at the same time. The outer statement combines
    // these rows.
    const meets = tied || ((scope.tied || windowed !== null || !fields.raw) && dimensions.length > 0);
    parts.push(...this.limits(tied, inner, depth));
    if (!inner && random.chance(0.06)) {
      parts.push(`tz('${random.pick(['Europe/Berlin', 'America/New_York', 'Asia/Kolkata', 'UTC'])}')`);
    }
    const columns = fields.columns;
    return { text: parts.join(' '), columns, tags: grouped.tags, tied, meets };
  }

  sources() {
    const { random, data } = this;
    const count = random.weighted([[85, 1], [8, 2], [7, 0]]);
    const chosen = random.some(data.measurements, count || data.measurements.length);
    const name = (m) => (/^\w+$/.test(m.name) ? m.name : `"${m.name}"`);
    const qualified = (m) => {
      const prefix = random.weighted([[88, ''], [4, 'autogen.'], [4, 'db.autogen.'], [4, 'db..']]);
      return prefix + name(m);
    };
    const from = count === 0 ? random.pick(['/.*/', '/./', '/cpu|mem|net|io/']) : chosen.map(qualified).join(', ');
    const all = (key) => [...new Set(chosen.flatMap((m) => m[key]))];
    const fields = all('fields').map((field) => ({ name: field, type: data.types[field] }));
    return { from, fields, tags: all('tags'), tied: chosen.some((m) => m.aligned), raw: true };
  }

  subquery(depth, feature) {
    const { random } = this;
    const inner = this.select({ depth: depth - 1, feature, inner: true, outer: true });
    const names = inner.columns.filter(({ type }) => type !== 'tag');
    const fields = names.length > 0 ? names : [{ name: 'f', type: 'float' }];
    const second = random.chance(0.05)
      ? `, (${this.select({ depth: 0, feature: null, inner: true }).text})`
      : '';
    return {
      from: `(${inner.text})${second}`,
      fields,
      tags: inner.tags.length > 0 ? inner.tags : Object.keys(this.data.tagValues).slice(0, 1),
      tied: inner.meets || second !== '',
      raw: false,
    };
  }

  windowed(scope, feature, depth) {
    const { random } = this;
    const family = depth > 0 ? 'AGGREGATES' : FUNCTIONS[feature]?.family;
    const wanted = { PREDICTORS: 1, AGGREGATES: 0.5, SELECTORS: 0.4, TRANSFORMS: 0.4, TECHNICAL: 0.4 };
    if (!family || !random.chance(wanted[family] ?? 0)) return null;
    const every = random.pick(['10s', '30s', '1m', '90s', '2m', '5m', '1h', '7s']);
    const offset = random.weighted([[75, ''], [15, ', 5s'], [5, ', -20s'], [5, ', 1m']]);
    return `time(${every}${offset})`;
  }

  /** `sensitive` means that the result depends on the order of rows with the same time. */
  grouping({ tags, tied }, sensitive) {
    const { random } = this;
    if (tied && sensitive) return { dimensions: ['*'], tags, whole: true };
    const kind = random.weighted([[tied ? 25 : 50, 'none'], [30, 'tags'], [tied ? 35 : 15, '*'], [5, 'regex']]);
    if (kind === '*') return { dimensions: ['*'], tags, whole: true };
    if (kind === 'regex') return { dimensions: ['/^(host|dc)/'], tags: [], whole: false };
    if (kind === 'none') return { dimensions: [], tags: [], whole: false };
    const chosen = random.some(tags, random.int(1, tags.length));
    const dimensions = random.chance(0.03) ? [...chosen, 'nope'] : chosen;
    return { dimensions, tags: chosen, whole: chosen.length === tags.length };
  }

  field(scope, types) {
    const fitting = scope.fields.filter(({ type }) => types.includes(type));
    return this.random.pick(fitting.length > 0 ? fitting : scope.fields);
  }

  fields(scope, feature, windowed, inner) {
    const family = FUNCTIONS[feature]?.family;
    if (!scope.raw && !feature) return this.outerFields(scope, windowed);
    if (feature === null || family === 'MATH') return this.rawFields(scope, feature, windowed, inner);
    return this.calls(scope, feature, windowed, inner);
  }

  outerFields(scope, windowed) {
    const { random } = this;
    if (!windowed && random.chance(0.4)) return this.rawFields(scope, null, null, true);
    const name = random.pick(['count', 'sum', 'mean', 'max', 'min', 'first', 'last', 'spread', 'median']);
    return this.calls(scope, name, windowed, true);
  }

  rawFields(scope, feature, windowed, inner) {
    const { random } = this;
    if (windowed) return this.calls(scope, random.pick(Object.keys(AGGREGATES)), windowed, inner);
    const wild = random.weighted([[inner ? 92 : 80, ''], [11, '*'], [3, '/^[fgij]/'], [3, '*::field'], [inner ? 0 : 2, '*::tag, f'], [inner ? 0 : 1, '/^[fh]/, *']]);
    if (wild && !feature) return { text: wild, columns: scope.fields, raw: true };
    const list = [];
    const columns = [];
    const add = (text, type, name) => {
      const alias = name ?? unused(columns);
      list.push(name ? text : `${text} AS ${alias}`);
      columns.push({ name: alias, type });
    };
    if (feature) {
      const { name } = this.field(scope, inner ? ['float'] : ['float', 'integer']);
      const call = FUNCTIONS[feature].call(feature, name, random);
      add(random.chance(0.2) ? `${random.pick(['round', 'abs', 'floor'])}(${call})` : call, 'float');
    }
    for (let left = random.int(feature ? 0 : 1, 3); left > 0; left -= 1) {
      const one = this.field(scope, random.pick([['float', 'integer'], ['string'], ['boolean']]));
      const kind = random.weighted([[50, 'ref'], [25, 'math'], [10, 'cast'], [10, 'tag'], [5, 'bits']]);
      if (kind === 'ref' && scope.raw && random.chance(0.1)) add(`${one.name}::field`, one.type);
      else if (kind === 'ref') add(one.name, one.type, columns.some((c) => c.name === one.name) ? null : one.name);
      else if (kind === 'math') add(this.arithmetic(scope, inner), 'float');
      else if (kind === 'cast' && scope.raw) add(`${one.name}::${random.pick(['float', 'integer', 'string', 'field', one.type])}`, 'integer');
      else if (kind === 'tag') add(`${random.pick(scope.tags)}${scope.raw && random.chance(0.2) ? '::tag' : ''}`, 'tag');
      else if (scope.raw && scope.fields.some(({ type: own }) => own === 'integer')) add(`${this.field(scope, ['integer']).name} ${random.pick(['&', '|', '^'])} ${random.int(0, 9)}`, 'integer');
      else add(one.name, one.type);
    }
    return { text: list.join(', '), columns, raw: true };
  }

  /**
   * Returns a random arithmetic expression. `inner` is true inside a subquery, where 1.6.7 divides
   * integers as integers, and NaN is not null.
   */
  arithmetic(scope, inner) {
    const { random } = this;
    const term = () =>
      random.chance(0.3)
        ? random.pick(['2', '0.5', '10', '3'])
        : this.field(scope, ['float', 'integer']).name;
    const op = () => random.pick(inner ? ['+', '-', '*'] : ['+', '-', '*', '/', '%']);
    const first = this.field(scope, ['float', 'integer']).name;
    return random.chance(0.4)
      ? `(${first} ${op()} ${term()}) ${op()} ${term()}`
      : `${first} ${op()} ${term()}`;
  }

  calls(scope, feature, windowed, inner) {
    const { random } = this;
    const { family } = FUNCTIONS[feature];
    if (['top', 'bottom', 'distinct', 'sample'].includes(feature) && random.chance(0.9)) {
      return this.alone(scope, feature);
    }
    const list = [];
    const columns = [];
    const add = (text, type = 'float') => {
      const name = unused(columns);
      list.push(inner || random.chance(0.5) ? `${text} AS ${name}` : text);
      // A wildcard expands to one column per field. The column of field `f` always exists.
      columns.push(/^\w+\([*/]/.test(text) ? { name: `${name}_f`, type: 'float' } : { name, type });
    };
    add(...this.call(scope, feature, windowed, inner));
    if (family === 'SELECTORS' && random.chance(0.35)) {
      for (let left = random.int(1, 2); left > 0; left -= 1) {
        const extra = random.chance(0.5) ? { name: random.pick(scope.tags), type: 'tag' } : random.pick(scope.fields);
        add(extra.name, extra.type);
      }
    } else {
      // The order in which 1.x joins integral() differs between executions.
      const more = inner && feature === 'integral' ? 0 : random.weighted([[60, 0], [25, 1], [15, 2]]);
      for (let left = more; left > 0; left -= 1) {
        const names = ['TECHNICAL', 'TRANSFORMS'].includes(family) ? [feature, 'difference'] : ['count', 'sum', 'mean', 'max', 'min', 'first', 'last', 'spread', 'median'];
        const [text] = this.call(scope, random.pick(names), windowed, inner);
        // If a sum contained sample() and another call, the sampled values would be unknown.
        if (random.chance(0.3) && feature !== 'sample') {
          list[0] = `${list[0].replace(/ AS c0$/, '')} ${random.pick(inner ? ['+', '-', '*'] : ['+', '-', '*', '/'])} ${text} AS c0`;
        } else add(text);
      }
    }
    return { text: list.join(', '), columns };
  }

  /** Returns a call that cannot be combined with other calls. */
  alone(scope, feature) {
    const { random } = this;
    const { types, call } = FUNCTIONS[feature];
    const { name, type } = this.field(scope, types);
    let text = call(feature, name, random);
    const columns = [{ name: 'c0', type }];
    if (feature === 'distinct' && random.chance(0.3)) text = random.pick([`DISTINCT ${name}`, `count(distinct(${name}))`]);
    if ((feature === 'top' || feature === 'bottom') && scope.raw && random.chance(0.3)) {
      text = text.replace(', ', `, ${random.some(scope.tags, random.int(1, 2)).join(', ')}, `);
    } else if (feature !== 'distinct' && random.chance(0.3)) {
      return { text: `${text} AS c0, ${random.pick([...scope.tags, ...scope.fields.map((f) => f.name)])}`, columns };
    }
    return { text: `${text} AS c0`, columns };
  }

  call(scope, feature, windowed, inner) {
    const { random } = this;
    const { family, types, call } = FUNCTIONS[feature];
    if (random.chance(0.08) && scope.raw && !['TECHNICAL', 'PREDICTORS'].includes(family)) {
      return [call(feature, random.pick(['*', '/^[fgi]$/', '*::field']), random)];
    }
    const { name, type } = this.field(scope, types);
    if (family === 'MATH') return [call(feature, name, random)];
    const transforms = ['TRANSFORMS', 'TECHNICAL', 'PREDICTORS'].includes(family);
    if (transforms && windowed) {
      const under = random.pick(['mean', 'sum', 'count', 'max', 'first', 'last', 'min', 'median', 'spread']);
      let argument = FUNCTIONS[under].call(under, this.field(scope, ['float', 'integer']).name, random);
      if (family !== 'PREDICTORS' && random.chance(0.3)) {
        const between = random.pick(Object.keys(TRANSFORMS));
        argument = FUNCTIONS[between].call(between, argument, random);
      }
      return [call(feature, argument, random)];
    }
    const text = call(feature, name, random);
    if (random.chance(0.1)) return [MATH.abs.call(random.pick(inner ? ['abs'] : ['round', 'abs', 'ceil', 'floor', 'sqrt']), text, random)];
    return [text, ['min', 'max', 'first', 'last', 'sum', 'mode'].includes(feature) ? type : 'float'];
  }

  /**
   * With an offset but no lower bound, 1.6.7 would begin windows in 1677 and compute for minutes.
   */
  where(scope, bounded, shifted = false) {
    const { random } = this;
    const terms = [];
    if (bounded || random.chance(0.4)) {
      const from = random.int(-60, SPAN_S / 2);
      const to = from + random.int(60, SPAN_S);
      const style = random.weighted([[70, 's'], [15, 'rfc'], [15, 'date']]);
      const time = (s) => {
        const iso = new Date((START_S + s) * 1000).toISOString();
        if (style === 's') return `${START_S + s}s`;
        return style === 'rfc' ? `'${iso}'` : `'${iso.slice(0, 19).replace('T', ' ')}'`;
      };
      if (!bounded || random.chance(0.9)) terms.push(`time ${random.pick(['>=', '>'])} ${time(from)}`);
      else if (shifted) terms.push(`time >= ${time(from)}`);
      terms.push(`time ${random.pick(['<', '<='])} ${time(to)}`);
    }
    for (let left = random.weighted([[60, 0], [30, 1], [10, 2]]); left > 0; left -= 1) terms.push(this.condition(scope));
    if (terms.length > 1 && random.chance(0.2)) terms.push(`(${this.condition(scope)} OR ${this.condition(scope)})`);
    return terms.join(' AND ');
  }

  condition(scope) {
    const { random } = this;
    if (scope.tags.length > 0 && random.chance(0.5)) {
      const tag = random.pick(scope.tags);
      const value = random.pick([...(this.data.tagValues[tag] ?? ['a']), '', 'nope']);
      const pattern = random.pick(['/a|b/', '/^x/', '/./', '/^$/', '/[^a]/', '/web/', '/(?i)^A$/', '/^(a|b)$/', '/^.{1,2}$/', '/,1|\\s/']);
      const key = random.weighted([[80, tag], [8, `${tag}::tag`], [6, `"${tag}"`], [6, 'nope']]);
      const other = random.pick(scope.tags);
      return random.pick([
        `${key} = '${value}'`,
        `${key} != '${value}'`,
        `${key} =~ ${pattern}`,
        `${key} !~ ${pattern}`,
        random.chance(0.1) ? `${tag} ${random.pick(['=', '!='])} ${other}` : `'${value}' = ${key}`,
      ]);
    }
    const { name, type } = random.pick(scope.fields);
    const op = random.pick(['=', '!=', '<', '<=', '>', '>=', '<>']);
    if (type === 'string') {
      return random.chance(0.5) ? `${name} ${random.pick(['=', '!='])} '${random.pick(['up', 'down', '', 'x'])}'` : `${name} =~ /o|u/`;
    }
    if (type === 'boolean') return `${name} ${random.pick(['=', '!='])} ${random.pick(['true', 'false'])}`;
    const second = this.field(scope, ['float', 'integer']).name;
    const left = random.weighted([
      [65, name],
      [10, `${name} * 2`],
      [8, `${name} - 3.5`],
      [5, `${name} / 2`],
      [5, scope.raw ? `${name}::field` : name],
      [4, scope.raw ? `${second} + ${name}` : name],
      [3, scope.raw && type === 'integer' ? `${name} ${random.pick(['%', '&', '|', '^'])} 3` : name],
    ]);
    if (scope.raw && random.chance(0.05)) return `${left} ${op} ${second}`;
    return `${left} ${op} ${random.pick([0, 3, 5.5, 25, -10, 1000])}`;
  }

  fill(inner, columns) {
    const chosen = this.random.pick(['null', 'none', 'previous', 'linear', '0', '3.7', '-1']);
    const isMixed = inner && columns.some(({ type }) => type === 'string' || type === 'boolean');
    return isMixed && /\d/.test(chosen) ? 'null' : chosen;
  }

  limits(tied, inner, depth) {
    const { random } = this;
    const parts = [];
    // If several rows have the same time, it is undefined which of them LIMIT removes.
    if (!tied && !inner && random.chance(0.15)) {
      parts.push(`LIMIT ${random.int(1, 8)}`);
      if (random.chance(0.5)) parts.push(`OFFSET ${random.int(0, 4)}`);
    } else if (!tied && !inner && depth > 0 && random.chance(0.05)) {
      // Adds OFFSET only over a subquery. Over a measurement, 1.x reads only `OFFSET` + 1 rows in
      // each shard.
      parts.push(`OFFSET ${random.int(1, 4)}`);
    }
    if (!inner && random.chance(0.06)) {
      parts.push(`SLIMIT ${random.int(1, 3)}`);
      if (random.chance(0.5)) parts.push(`SOFFSET ${random.int(0, 2)}`);
    }
    return parts;
  }

  /** Returns the query with an error, or with a change that may cause an error. */
  spoilt({ text }) {
    const { random } = this;
    return random.pick([
      () => text.replace('SELECT ', 'SELECT foo(f), '),
      () => text.replace(' FROM ', ' FORM '),
      () => text.replace(/\)$/, ''),
      () => `${text} LIMIT -1`,
      () => text.replace(/SELECT /, 'SELECT f, count(f), '),
      () => text.replace(/\w+\((\w+)/, 'mean(tag_$1, 5'),
      () => `${text} GROUP BY foo(1m)`,
      () => text.replace(/FROM \S+/, 'FROM nope.m'),
      () => text.replace(/FROM \S+/, 'FROM absent'),
      () => text.replace(/SELECT /, "SELECT s + 1, "),
    ])();
  }
}
