// Splits a statement into its clauses, and joins clauses to a statement.

const CLAUSE = /(?:^| )(SELECT|INTO|FROM|WHERE|GROUP BY|fill|ORDER BY|LIMIT|OFFSET|SLIMIT|SOFFSET|tz)(?=[ (])/g;
const ORDER = ['SELECT', 'INTO', 'FROM', 'WHERE', 'GROUP BY', 'fill', 'ORDER BY', 'LIMIT', 'OFFSET', 'SLIMIT', 'SOFFSET', 'tz'];

/** Replaces all characters inside parentheses, quotes and regexes. The length remains the same. */
function flat(text) {
  let depth = 0;
  const quoted = text.replace(/'(?:[^'\\]|\\.)*'|(?<=[~(,] ?|FROM |BY )\/(?:[^/\\]|\\.)*\//g, (all) => '_'.repeat(all.length));
  const blot = (char) => {
    if (char === ')') depth -= 1;
    const out = depth > 0 ? '_' : char;
    if (char === '(') depth += 1;
    return out;
  };
  return quoted.split('').map(blot).join('');
}

export function clauses(text) {
  const found = [...flat(text).matchAll(CLAUSE)];
  return Object.fromEntries(found.map((one, at) => [one[1], text.slice(one.index + one[0].length, found[at + 1]?.index).trim()]));
}

export function split(text, by) {
  const parts = [];
  let start = 0;
  for (const part of text ? flat(text).split(by) : []) {
    parts.push(text.slice(start, start + part.length));
    start += part.length + by.length;
  }
  return parts;
}

export function statement(parts) {
  const text = (name) => (['fill', 'tz'].includes(name) ? `${name}${parts[name]}` : `${name} ${parts[name]}`);
  return ORDER.filter((name) => parts[name]).map(text).join(' ');
}

export const isTime = (term) => /^time [<>]/.test(term);
export const isWindow = (dimension) => /^time\(/.test(dimension);
export const union = (...lists) => [...new Set(lists.flat())];
export const dimensionsOf = (parts) => split(parts['GROUP BY'], ', ');
export const windowOf = (parts) => dimensionsOf(parts).find(isWindow);
export const termsOf = (parts) => split(parts.WHERE, ' AND ');
export const and = (...terms) => terms.filter(Boolean).join(' AND ');

/** Returns the fields of a SELECT. An alias is undefined if the statement does not define one. */
export function fieldsOf(parts) {
  return split(parts.SELECT, ', ').map((text) => {
    const [, expression, alias] = /^(.*?)(?: AS (\w+))?$/s.exec(text);
    return { text, expression, alias };
  });
}

/** Returns the name, the first argument and the other arguments of a single call, or undefined. */
export function callOf(expression) {
  const found = /^(\w+)\((.*)\)$/s.exec(expression);
  if (!found || flat(expression).slice(0, -1).includes(')')) return undefined;
  const [first, ...rest] = split(found[2], ', ');
  return { name: found[1], first, rest };
}

/** Returns whether a text calls one of the functions in `names`, which are separated by `|`. */
export const calls = (text, names) => new RegExp(`\\b(?:${names})\\(`).test(text);

/** The pattern of an argument of a call, which may contain other calls. */
const CALL = String.raw`\(((?:[^()]|\([^()]*\))*?)`;

/**
 * Replaces `abs()` with an equivalent expression, because `abs()` of a negative integer returns the
 * negative integer in 1.6.7.
 */
export const withoutAbs = (text) => text.replace(new RegExp(`\\babs${CALL}\\)`, 'g'), 'sqrt(pow($1, 2))');
