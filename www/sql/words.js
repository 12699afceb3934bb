// Tokenizes SQL into names, strings, comments and other words. Only the server can parse a
// statement.

/** The contents of strings, quoted names and comments must not be tokenized. */
const word =
  /(?<comment>--[^\n]*|\/\*[\s\S]*?(?:\*\/|$))|(?<string>'(?:[^']|'')*'?)|(?<name>"(?:[^"]|"")*"?)|(?<variable>\$\w+)|(?<word>[A-Za-z_]\w*)|(?<number>\d[\w.]*)|(?<space>\s+)|(?<mark><>|!=|[<>]=|.)/gs;

/** Splits a text into words, including spaces and comments. */
export function wordsOf(text) {
  return [...text.matchAll(word)].map(({ 0: part, index, groups }) => {
    const [kind] = Object.entries(groups).find(([, found]) => found !== undefined);
    return { kind, text: part, from: index, to: index + part.length, upper: kind === 'word' ? part.toUpperCase() : part };
  });
}

export const meaningful = (words) =>
  words.filter(({ kind }) => kind !== 'space' && kind !== 'comment');

export const keywords = new Set(
  `ALL ANALYZE AND ANY AS ASC BETWEEN BY CASE CAST COLUMNS CROSS CUBE CURRENT DESC DESCRIBE DISTINCT ELSE END
   ESCAPE EXCEPT EXISTS EXPLAIN EXTRACT FALSE FILTER FIRST FOLLOWING FROM FULL GROUP GROUPING HAVING ILIKE IN
   INNER INTERSECT INTERVAL IS JOIN LAST LATERAL LEFT LIKE LIMIT NATURAL NOT NULL NULLS OFFSET ON OR ORDER OUTER
   OVER PARTITION PRECEDING QUALIFY RANGE RECURSIVE RIGHT ROLLUP ROW ROWS SELECT SETS SHOW SIMILAR TABLES THEN TO
   TRUE UNBOUNDED UNION UNNEST USING VALUES WHEN WHERE WINDOW WITH`
    .trim()
    .split(/\s+/),
);

/** Quotes a name if it is not a plain lower-case word or if it is a keyword. */
export const quoted = (name) =>
  /^[a-z_][a-z0-9_]*$/.test(name) && !keywords.has(name.toUpperCase())
    ? name
    : `"${name.replace(/"/g, '""')}"`;

export const quotedText = (text) => `'${text.replace(/'/g, "''")}'`;

/** Returns the name that a word means. Unquoted names are converted to lower case. */
export const nameOf = ({ kind, text }) =>
  kind === 'name' ? text.replace(/^"|"$/g, '').replace(/""/g, '"') : text.toLowerCase();

const isName = (one) => one !== undefined && (one.kind === 'name' || (one.kind === 'word' && !keywords.has(one.upper)));

/** Returns the distinct tables that follow FROM and JOIN, without schema names. */
export function tablesIn(text) {
  const words = meaningful(wordsOf(text));
  const found = new Set();
  words.forEach(({ upper }, index) => {
    if (!['FROM', 'JOIN'].includes(upper)) return;
    let at = index + 1;
    for (;;) {
      while (isName(words[at]) && words[at + 1]?.text === '.') at += 2;
      if (!isName(words[at])) return;
      found.add(nameOf(words[at]));
      // An alias may precede the comma.
      while (isName(words[at]) || words[at]?.upper === 'AS') at += 1;
      if (words[at]?.text !== ',') return;
      at += 1;
    }
  });
  return [...found];
}
