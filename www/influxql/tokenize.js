// InfluxQL text as a list of tokens: what colours, completion and the time range rest on.

const pattern = new RegExp(
  [
    String.raw`(?<space>\s+)`,
    String.raw`(?<comment>--[^\n]*|/\*[\s\S]*?(?:\*/|$))`,
    String.raw`(?<string>'(?:\\.|[^'\\\n])*'?)`,
    String.raw`(?<name>"(?:\\.|[^"\\\n])*"?)`,
    String.raw`(?<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?(?:ns|ms|us|[uµsmhdwi])?(?:\d+(?:ns|ms|us|[uµsmhdw]))*|\.\d+)`,
    String.raw`(?<variable>\$[A-Za-z_]\w*)`,
    String.raw`(?<word>[\p{L}_][\p{L}\p{N}_]*)`,
    String.raw`(?<operator>=~|!~|<>|!=|<=|>=|::|[-+*/%=<>&|^])`,
    String.raw`(?<mark>[(),.;])`,
    String.raw`(?<other>.)`,
  ].join('|'),
  'gsuy',
);

/** A slash begins a regular expression where a value is expected. */
const regex = /\/(?:\\.|[^/\\\n])+\/?/y;
const beforeRegex = new Set([
  '=~',
  '!~',
  ',',
  '(',
  '.',
  'FROM',
  'KEY',
  'SELECT',
  'BY',
  'IN',
  'WITH',
]);

/** `{ kind, text, from, to }` of each token; `upper` is a word in capital letters. */
export function tokenize(text) {
  const tokens = [];
  let before = null;
  for (let from = 0; from < text.length;) {
    const token = slashAt(text, from, before) ?? plainAt(text, from);
    token.upper = token.kind === 'word' ? token.text.toUpperCase() : token.text;
    tokens.push(token);
    if (token.kind !== 'space' && token.kind !== 'comment') before = token;
    from = token.to;
  }
  return tokens;
}

function slashAt(text, from, before) {
  if (text[from] !== '/' || text[from + 1] === '*') return null;
  if (before && !beforeRegex.has(before.upper)) return null;
  regex.lastIndex = from;
  const found = regex.exec(text);
  return found && { kind: 'regex', text: found[0], from, to: regex.lastIndex };
}

function plainAt(text, from) {
  pattern.lastIndex = from;
  const found = pattern.exec(text);
  const kind = Object.keys(found.groups).find((name) => found.groups[name] !== undefined);
  return { kind, text: found[0], from, to: pattern.lastIndex };
}

/** The tokens without spaces and comments. */
export const meaningful = (tokens) =>
  tokens.filter(({ kind }) => kind !== 'space' && kind !== 'comment');
