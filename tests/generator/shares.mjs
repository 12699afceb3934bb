// Counts the features of random queries, and checks that each feature occurs often enough.

import { FUNCTIONS } from './functions.mjs';

const CLAUSES = {
  WHERE: / WHERE /,
  'GROUP BY tags': / GROUP BY (?:\w|\*|\/)/,
  'GROUP BY *': / GROUP BY \*/,
  'time()': /time\(\d/,
  'time() with offset': /time\(\w+, /,
  'fill(null)': /fill\(null/,
  'fill(none)': /fill\(none/,
  'fill(previous)': /fill\(previous/,
  'fill(linear)': /fill\(linear/,
  'fill(number)': /fill\([-\d]/,
  'ORDER BY': / ORDER BY /,
  LIMIT: / LIMIT /,
  OFFSET: / OFFSET /,
  SLIMIT: / SLIMIT /,
  SOFFSET: / SOFFSET /,
  'tz()': / tz\(/,
  subquery: /\(SELECT /,
  'several sources': / FROM (?:[\w."]+(?: io")?), /,
  'regex source': / FROM \//,
  'qualified name': / FROM (?:db|autogen)\./,
  wildcard: /SELECT .*\*(?:,| FROM|\)|::)/,
  cast: /::\w/,
  alias: / AS /,
  arithmetic: / [-+*/%] /,
  'bitwise operators': / [&|^] /,
  'regex condition': / =~ /,
  'negated regex': / !~ /,
  '::tag, ::field': /::(tag|field)/,
  'an unknown tag': /nope[ :]/,
  'depth of three': /\(SELECT .*\(SELECT /,
  'wildcard in a function': /\w\((\*|\/)/,
  'parts of seconds': /time\(\d+(ms|u)/,
  'days and weeks': /time\(\d+[dw]/,
  'negative offset': /time\(\w+, -/,
  'arithmetic on time': /time [<>]=? [^ ]+ [-+] |[-+] \w+ [<>]=? time/,
  'several statements': /; /,
  INTO: / INTO /,
  'conditions that are compared': /\) (?:=|!=) (?:\(|true|false)/,
  'tags compared by order': /\b(?:host|dc|role) [<>]=? '|' [<>]=? (?:host|dc|role)\b/,
  'names both tag and field': /odd\.\.both/,
  'casts around subqueries': /SELECT \w*\(?x::/,
  'a measurement in two policies': /odd\.\w*\.shared/,
  'points of one time': /odd\.\.twins/,
  'few values': /odd\.\.few/,
  'types that differ among measurements': /odd\.(?:\.|autogen\.\/\^)t/,
  'characters of regexes': /\bsigns\b/,
  'any expression': /odd\.\w*\.(?:one|"two w"|\/one)/,
  SHOW: /SHOW /,
  CARDINALITY: / CARDINALITY/,
};
const SHARE_MIN = 0.01;
/** A count this many standard deviations below the expected count is too low. */
const DEVIATIONS = 4;
const VALID_MIN = 0.85;
const ROWS_MIN = 0.5;

export class Shares {
  total = 0;
  valid = 0;
  rows = 0;
  counts = new Map();

  add(text, [status, body]) {
    this.total += 1;
    const failed = status !== 200 || !body.startsWith('{') || body.includes('"error"');
    this.valid += failed ? 0 : 1;
    this.rows += !failed && hasValue(body) ? 1 : 0;
    const count = (name) => this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
    const called = new Set(Array.from(text.matchAll(/(\w+)\(/g), ([, name]) => name));
    for (const name of Object.keys(FUNCTIONS)) if (called.has(name)) count(name);
    for (const [name, pattern] of Object.entries(CLAUSES)) if (pattern.test(text)) count(name);
  }

  /** Returns the features that occur too rarely to be a coincidence. */
  short() {
    const names = [...Object.keys(FUNCTIONS), ...Object.keys(CLAUSES)];
    const expected = SHARE_MIN * this.total;
    const rare = names.filter((name) => (this.counts.get(name) ?? 0) < expected - DEVIATIONS * Math.sqrt(expected));
    if (this.valid / this.total < VALID_MIN) rare.push('valid queries');
    if (this.rows / this.total < ROWS_MIN) rare.push('queries with a value');
    return rare;
  }

  share(name) {
    return (this.counts.get(name) ?? 0) / this.total;
  }

  text() {
    const percent = (share) => `${(100 * share).toFixed(1)} %`;
    const list = (names) => names.map((name) => `${name} ${percent(this.share(name))}`).join(', ');
    return [
      `${this.total} queries, ${percent(this.valid / this.total)} valid, ` +
        `${percent(this.rows / this.total)} with a value`,
      `functions: ${list(Object.keys(FUNCTIONS))}`,
      `clauses: ${list(Object.keys(CLAUSES))}`,
      ...(this.short().length > 0 ? [`too few: ${this.short().join(', ')}`] : []),
    ].join('\n');
  }
}

function hasValue(body) {
  const rows = JSON.parse(body).results?.flatMap(({ series }) => series?.flatMap((s) => s.values ?? []) ?? []);
  return rows?.some((row) => row.slice(1).some((cell) => cell !== null)) ?? false;
}
