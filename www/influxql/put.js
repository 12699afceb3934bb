// Inserts a name from the explorer into a query. A valid query remains valid.

import { nameOf } from './complete.js';
import { quoted, quotedText } from './statements.js';
import { meaningful, tokenize } from './tokenize.js';

/** A clause of a SELECT or SHOW statement begins with one of these keywords. */
const beginnings = new Set(
  'SELECT INTO FROM WITH WHERE GROUP ORDER LIMIT OFFSET SLIMIT SOFFSET'.split(' '),
);

/** These clauses have the syntax of a function call. */
const calls = new Set(['FILL', 'TZ']);

const operators = new Set(['=', '!=', '<>', '<', '>', '<=', '>=', '+', '-', '*', '/', '%']);
const comparisons = new Set(['=', '!=', '<>']);

const isKeyword = ({ kind, upper }) =>
  kind === 'word' && (beginnings.has(upper) || ['BY', 'AND', 'OR', 'AS', 'ASC', 'DESC'].includes(upper));

/** Returns `m`, or `policy.m` for a policy other than the default. */
const sourceOf = ({ policy, measurement }) => [policy, measurement].filter(Boolean).map(quoted).join('.');

/** Returns a query about the item, with a separate result for each series. */
function query(item) {
  const source = `FROM ${sourceOf(item)}`;
  if (item.kind === 'field') return `SELECT ${quoted(item.name)} ${source} GROUP BY *`;
  if (item.kind === 'value') return `SELECT * ${source} WHERE ${condition(item)} GROUP BY *`;
  if (item.kind === 'tag') return `SELECT * ${source} GROUP BY ${quoted(item.name)}`;
  return `SELECT * ${source} GROUP BY *`;
}

const condition = ({ tag, name }) => `${quoted(tag)} = ${quotedText(name)}`;

/**
 * Inserts `item` into `text`. Returns the new text and the new cursor position. An item is `{ kind,
 * name, measurement, policy, tag }`. `policy` is null for the default policy. `kind` is `policy`
 * (whose name becomes a prefix), `measurement`, `field`, `tag`, or `value` (of `tag`).
 *
 * The item is inserted at the cursor if the result is valid or can become valid. Otherwise it is
 * inserted at another valid position. If no position is valid, or if the parser is not loaded, a
 * separate statement is added for the item.
 */
export function put(text, { from, to }, item) {
  // Without the parser, only a separate statement is known to be valid.
  if (text.trim() && tokenize(text).length === 0) return fresh(`${text.trimEnd()}\n;\n`, item);
  const direct = at(text.slice(0, from) + text.slice(to), from, item);
  if (direct) return direct;
  if (item.kind === 'policy') return { text, cursor: to };
  const tokens = meaningful(tokenize(text));
  if (tokens.length === 0) return fresh(text.trim() && `${text.trimEnd()}\n`, item);
  const own = statementAround(tokens, to);
  return inside(text, own, item) ?? appended(text, item);
}

function statementAround(tokens, offset) {
  const end = tokens.findIndex(({ text, to }) => text === ';' && to > offset);
  const upTo = end < 0 ? tokens : tokens.slice(0, end);
  return upTo.slice(upTo.findLastIndex(({ text }) => text === ';') + 1);
}

/** Divides a statement into its clauses. `to` is the end of the last token of a clause. */
function partsOf(tokens) {
  const parts = [];
  let depth = 0;
  tokens.forEach((token, index) => {
    if (token.text === '(') depth += 1;
    if (token.text === ')') depth -= 1;
    const begins =
      beginnings.has(token.upper) ||
      (calls.has(token.upper) && tokens[index + 1]?.text === '(' && parts.length > 1);
    if (depth === 0 && token.kind === 'word' && begins) {
      parts.push({ word: token.upper, tokens: [], from: token.from, to: token.to });
      return;
    }
    const part = parts.at(-1);
    if (!part) return;
    part.to = token.to;
    if (token.upper !== 'BY' || part.tokens.length > 0) part.tokens.push(token);
  });
  return parts;
}

const replaced = (text, from, to, words, cursor = from + words.length) => ({
  text: text.slice(0, from) + words + text.slice(to),
  cursor,
});

/**
 * Adds a statement for the item. The cursor is then after the source, where the user can type a
 * condition.
 */
function fresh(head, item) {
  const made = query(item);
  const source = ` FROM ${sourceOf(item)}`;
  return { text: head + made, cursor: head.length + made.indexOf(source) + source.length };
}

function appended(text, item) {
  const all = tokenize(text);
  const last = meaningful(all).at(-1);
  // A comment ends at the end of its line, so the statement must begin on a new line.
  const isNoted = all.some(({ kind, from }) => kind === 'comment' && from >= last.to);
  const joint = last.text === ';' ? '\n' : isNoted ? '\n;\n' : ';\n';
  return fresh(text.trimEnd() + joint, item);
}

/** Inserts the item at a position. Returns null if the item is not valid there. */
function at(text, offset, item) {
  const all = tokenize(text);
  const isWithin = ({ from, to, kind, text: mark }) =>
    from < offset && kind !== 'space' && (offset < to || (offset === to && mark.startsWith('--')));
  if (all.some(isWithin)) return null;
  const tokens = meaningful(all);
  const own = statementAround(tokens, offset);
  const before = own.filter(({ to }) => to <= offset);
  const after = own.filter(({ from }) => from >= offset);
  const word = directly(before, after, item);
  if (word === null) return null;
  const isApart = /[\s(.,]$/.test(text.slice(0, offset));
  const rest = text.slice(offset);
  const lead = isApart ? '' : ' ';
  const trail = rest === '' || /^[\s),;.]/.test(rest) || word.endsWith('.') ? '' : ' ';
  return replaced(text, offset, offset, lead + word + trail, offset + lead.length + word.length);
}

/** Returns the text for an item between two lists of tokens of a statement, or null. */
function directly(before, after, item) {
  const [previous, next] = [before.at(-1), after[0]];
  if (!previous) return null;
  const isOpen = !next || isKeyword(next) || [')', ','].includes(next.text) || calls.has(next.upper);
  const part = partOf(before);
  if (['measurement', 'policy'].includes(item.kind)) {
    if (part !== 'FROM' || !isOpen || (before[0].upper === 'SHOW' && item.kind === 'policy')) return null;
    if (previous.text === '.' && item.kind === 'measurement') return quoted(item.name);
    const isWanted = previous.upper === 'FROM' || previous.text === ',';
    return isWanted ? (item.kind === 'policy' ? `${quoted(item.name)}.` : sourceOf(item)) : null;
  }
  const isWanted = ['SELECT', 'WHERE', 'BY', 'AND', 'OR'].includes(previous.upper) || previous.text === ',';
  if (part === 'WHERE') return inCondition(before, next, isOpen, item);
  if (item.kind === 'value' || !isOpen) return null;
  if (part === 'GROUP') return item.kind === 'tag' && isWanted ? quoted(item.name) : null;
  if (part !== 'SELECT') return null;
  const isArgument = previous.text === '(' && before.at(-2)?.upper !== 'NOW' && next?.text !== '*';
  return isWanted || isArgument ? quoted(item.name) : null;
}

function inCondition(before, next, isOpen, item) {
  const previous = before.at(-1);
  if (item.kind === 'value') {
    if (!isOpen) return null;
    if (comparisons.has(previous.text)) return quotedText(item.name);
    const isSame = [quoted(item.tag), `"${item.tag}"`].includes(previous.text);
    if (isSame && beginsCondition(before.slice(0, -1))) return `= ${quotedText(item.name)}`;
    return beginsCondition(before) ? condition(item) : null;
  }
  if (!isOpen && !operators.has(next.text)) return null;
  return operators.has(previous.text) || beginsCondition(before) ? quoted(item.name) : null;
}

/**
 * Returns whether a condition may follow the tokens. This is possible after a keyword such as AND,
 * and after an opening bracket outside of a function call.
 */
function beginsCondition(tokens) {
  const [earlier, last] = [tokens.at(-2), tokens.at(-1)];
  if (last?.text === '(') return isKeyword(earlier) || ['(', ...operators].includes(earlier.text);
  return ['WHERE', 'AND', 'OR'].includes(last?.upper);
}

/**
 * Returns the keyword of the clause that contains the last token, at the nesting depth of this
 * token.
 */
function partOf(tokens) {
  let depth = 0;
  for (let index = tokens.length - 1; index >= 0; index -= 1) {
    const { text, kind, upper } = tokens[index];
    if (text === ')') depth += 1;
    if (text === '(') depth -= 1;
    // An open bracket belongs to the clause around it, unless a subquery begins inside the bracket.
    if (depth < 0) depth = 0;
    if (depth === 0 && kind === 'word' && beginnings.has(upper)) return upper;
    if (depth === 0 && calls.has(upper) && tokens[index + 1]?.text === '(') return upper;
  }
  return null;
}

/** Returns null if no position is known to be valid. */
function inside(text, own, item) {
  const parts = partsOf(own);
  const [first] = parts;
  const part = (word) => parts.find((one) => one.word === word);
  const source = part('FROM');
  if (!['SELECT', 'SHOW'].includes(own[0]?.upper) || part('INTO')) return null;
  if (item.kind === 'measurement') return swapped(text, { first, source, last: own.at(-1) }, item);
  if (first?.word !== 'SELECT' || !source || !asks(source, item)) return null;
  return { field: asColumn, tag: asGroup, value: asCondition }[item.kind](text, { first, source, part }, item);
}

/**
 * Replaces the source in the FROM clause with the item's measurement. If the query has no FROM
 * clause, adds one.
 */
function swapped(text, { first, source, last }, item) {
  if (!source) {
    const isOpen = first?.word === 'SELECT' && first.tokens.length > 0 && last.to === first.to;
    return isOpen ? replaced(text, last.to, last.to, ` FROM ${sourceOf(item)}`) : null;
  }
  const isOne = source.tokens.every(({ kind, text: mark }) => kind !== 'mark' || mark === '.');
  if (!isOne || source.tokens.length === 0) return null;
  return replaced(text, source.tokens[0].from, source.to, sourceOf(item));
}

/** Returns whether a FROM clause contains only the item's measurement. */
const asks = ({ tokens }, item) => {
  const isName = ({ kind }) => kind === 'word' || kind === 'name';
  const plain = (token) => (isName(token) ? quoted(nameOf(token)) : token.text);
  return tokens.map(plain).join('') === sourceOf(item);
};

function asColumn(text, { first }, { name }) {
  const { tokens } = first;
  if (tokens.length === 0 || tokens.some(({ text: mark }) => mark === '(')) return null;
  const word = quoted(name);
  if (tokens.length === 1 && tokens[0].text === '*') return replaced(text, tokens[0].from, first.to, word);
  if (tokens.some((token) => token.text === word)) return { text, cursor: first.to };
  return replaced(text, first.to, first.to, `, ${word}`);
}

function asGroup(text, { source, part }, { name }) {
  const group = part('GROUP');
  const word = quoted(name);
  if (!group) {
    const end = (part('WHERE') ?? source).to;
    return replaced(text, end, end, ` GROUP BY ${word}`);
  }
  if (group.tokens.some((token) => ['*', word].includes(token.text))) return { text, cursor: group.to };
  return group.tokens.length === 0 ? null : replaced(text, group.to, group.to, `, ${word}`);
}

function asCondition(text, { source, part }, item) {
  const where = part('WHERE');
  if (!where) return replaced(text, source.to, source.to, ` WHERE ${condition(item)}`);
  const [from, to] = [where.tokens[0]?.from, where.to];
  if (from === undefined) return null;
  const written = text.slice(from, to);
  const isAlternative = where.tokens.some(({ upper }) => upper === 'OR');
  return replaced(text, from, to, `${isAlternative ? `(${written})` : written} AND ${condition(item)}`);
}
