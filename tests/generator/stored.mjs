// What 1.x itself says where a flaw of it cannot act: over the stored rows of a subquery, and of
// every call by itself.

const CLAUSE = /(?:^| )(SELECT|FROM|WHERE|GROUP BY|fill|ORDER BY|LIMIT|OFFSET|SLIMIT|SOFFSET|tz)(?=[ (])/g;
/** The calls that take the windows of the statement around. */
const WINDOWED =
  /\b(?:count|sum|mean|median|mode|spread|stddev|integral|distinct|first|last|min|max|percentile|sample|top|bottom)\(/;

/** `text` with what stands in parentheses blotted out, character by character. */
function flat(text) {
  let depth = 0;
  const blot = (char) => {
    if (char === ')') depth -= 1;
    const out = depth > 0 ? '_' : char;
    if (char === '(') depth += 1;
    return out;
  };
  return text.split('').map(blot).join('');
}

/** The clauses of a statement, by their first words. */
export function clauses(text) {
  const found = [...flat(text).matchAll(CLAUSE)];
  return Object.fromEntries(found.map((one, at) => [one[1], text.slice(one.index + one[0].length, found[at + 1]?.index).trim()]));
}

/** The parts of `text` between `by`, where that is in no parentheses. */
export function split(text, by) {
  const parts = [];
  let start = 0;
  for (const part of text ? flat(text).split(by) : []) {
    parts.push(text.slice(start, start + part.length));
    start += part.length + by.length;
  }
  return parts;
}

/** A statement of these clauses, in the order that the language asks for. */
export function statement(parts) {
  const order = ['SELECT', 'INTO', 'FROM', 'WHERE', 'GROUP BY', 'fill', 'ORDER BY', 'LIMIT', 'OFFSET', 'SLIMIT', 'SOFFSET', 'tz'];
  const text = (name) => (['fill', 'tz'].includes(name) ? `${name}${parts[name]}` : `${name} ${parts[name]}`);
  return order.filter((name) => parts[name]).map(text).join(' ');
}

const isTime = (term) => /^time [<>]/.test(term);
const isWindow = (dimension) => /^time\(/.test(dimension);
const union = (...lists) => [...new Set(lists.flat())];

/** The source, if it is one subquery and nothing else. */
function subquery(from) {
  const [only, more] = split(from, ', ');
  return !more && only?.startsWith('(SELECT') ? only.slice(1, -1) : undefined;
}

/**
 * Has the real server store each subquery's rows in a database of their own and asks it the
 * statement around over them. Answers `[status, body]`, or nothing where that cannot be done: of
 * several subqueries, and where a statement has no rows to store. `first`, in nanoseconds: where the
 * first window begins that is answered. Rows from there on count though the range begins later, as
 * windows that begin before it reach into it. Without windows all that is stored counts. By default
 * the statement around keeps its range. `read`: what is stored is what `SELECT *` reads of the outermost
 * subquery: a function that looks at the window before does so from the range of what is around.
 */
export async function overStored(text, real, first, read = false) {
  const made = [];
  const outer = clauses(text);
  try {
    const context = { times: [], tags: [], window: undefined, order: undefined, read };
    const reads = await around(outer, context, real, made);
    if (!reads) return undefined;
    const terms = split(reads.WHERE, ' AND ');
    if (first === undefined) return await real(statement(reads));
    if (split(reads['GROUP BY'], ', ').some(isWindow)) {
      const upper = terms.filter((term) => !/^time >/.test(term));
      return await real(statement({ ...reads, WHERE: [`time >= ${first}`, ...upper].join(' AND ') }));
    }
    const [status, body] = await real(statement({ ...reads, WHERE: terms.filter((term) => !isTime(term)).join(' AND ') }));
    return [status, body.replaceAll('[0,', `[${lowest(terms)},`)];
  } finally {
    for (const database of made) await real(`DROP DATABASE ${database}`);
  }
}

/** The time that an aggregate of a range has, in nanoseconds. */
function lowest(terms) {
  const times = terms.map((term) => /^time (>=?) (?:(\d+)s|'(.*)')$/.exec(term)).filter(Boolean);
  const start = ([, sign, seconds, date]) => {
    const iso = date?.includes('T') ? date : `${date?.replace(' ', 'T')}Z`;
    const ms = seconds ? BigInt(seconds) * 1_000n : BigInt(Date.parse(iso));
    return ms * 1_000_000n + (sign === '>' ? 1n : 0n);
  };
  return times.map(start).reduce((one, other) => (one > other ? one : other), 0n);
}

/** The clauses of a statement over a subquery, which now reads what that has stored. */
async function around(own, context, real, made) {
  const inner = subquery(own.FROM);
  if (!inner) return undefined;
  const dimensions = split(own['GROUP BY'], ', ');
  const below = {
    times: union(context.times, split(own.WHERE, ' AND ').filter(isTime)),
    tags: union(context.tags, dimensions.filter((one) => !isWindow(one) && one !== '*')),
    window: dimensions.find(isWindow) ?? context.window,
    order: own['ORDER BY'] ?? context.order,
    read: context.read,
  };
  const stored = await store(inner, below, real, made);
  if (!stored) return undefined;
  // Of a subquery's tags there are those that it is grouped by.
  const known = dimensions.flatMap((one) => (one === '*' ? stored.tags : [one]));
  return { ...own, FROM: stored.from, 'GROUP BY': union(known).join(', ') };
}

async function store(text, context, real, made) {
  if (context.read) {
    const whole = { SELECT: '*', FROM: `(${text})`, WHERE: context.times.join(' AND '), 'GROUP BY': '*', 'ORDER BY': context.order };
    const tags = split(clauses(text)['GROUP BY'], ', ').filter((one) => !isWindow(one));
    return keep(whole, tags, real, made);
  }
  let own = clauses(text);
  const nested = own.FROM.startsWith('(SELECT');
  if (nested) own = await around(own, context, real, made);
  if (!own) return undefined;
  const dimensions = split(own['GROUP BY'], ', ');
  const tags = dimensions.filter((one) => !isWindow(one));
  const all = tags.includes('*') ? ['*'] : union(tags, context.tags);
  const window = dimensions.find(isWindow) ?? (WINDOWED.test(own.SELECT) ? context.window : undefined);
  const write = {
    ...own,
    WHERE: union(split(own.WHERE, ' AND '), context.times).join(' AND '),
    'GROUP BY': [...all, ...(window ? [window] : [])].join(', '),
    'ORDER BY': context.order,
  };
  return keep(write, tags, real, made);
}

/** Stores the rows of a statement. */
async function keep(parts, tags, real, made) {
  const database = `stored${made.length}`;
  made.push(database);
  await real(`CREATE DATABASE ${database} WITH DURATION INF`);
  const write = { ...parts, INTO: `${database}.autogen.:MEASUREMENT` };
  const [, body] = await real(statement(write));
  if (!body.includes('"written"') || body.includes('"error"')) return undefined;
  return { from: `${database}.autogen./.*/`, tags };
}
