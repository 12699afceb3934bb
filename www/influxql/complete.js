// Completes InfluxQL with keywords, functions, and the names in the database.

import { columnChoice, functionChoices, keywordChoices, nameChoices, valueChoices } from '../editor/choices.js';
import { functions } from './functions.js';
import { meaningful, tokenize } from './tokenize.js';
import { keywords, quoted, quotedText } from './statements.js';

/** The keywords that determine which kind of word can follow. */
const places = {
  SELECT: 'columns',
  BY: 'dimensions',
  WHERE: 'condition',
  AND: 'condition',
  OR: 'condition',
  FROM: 'measurements',
  ON: 'databases',
  DATABASE: 'databases',
  KEY: 'tags',
  MEASUREMENT: 'measurements',
};

/** Removes quotes and escapes. */
export const nameOf = ({ kind, text }) =>
  kind === 'name' ? text.replace(/^"|"$/g, '').replace(/\\(.)/g, '$1') : text;

/**
 * Returns the kind of word that is expected at the end of the text. `from` is the start of the
 * current word. `tag` is the key whose value is expected.
 */
export function placeIn(text, whole = text) {
  const all = tokenize(text);
  const last = all.at(-1);
  const isWriting = last && ['word', 'name', 'string'].includes(last.kind);
  const from = isWriting ? last.from : text.length;
  const before = meaningful(isWriting ? all.slice(0, -1) : all);
  const statement = before.slice(before.findLastIndex(({ text: mark }) => mark === ';') + 1);
  const measurement = measurementIn(meaningful(tokenize(whole)), from);
  const [key, sign] = statement.slice(-2);
  if (sign && ['=', '!='].includes(sign.text) && ['word', 'name'].includes(key.kind)) {
    return { place: 'values', tag: nameOf(key), measurement, from };
  }
  const deciding = statement.findLast(({ kind, upper }) => kind === 'word' && places[upper]);
  const place = statement.length === 0 ? 'beginning' : (places[deciding?.upper] ?? 'keywords');
  return { place, measurement, from };
}

/** Returns the first measurement after FROM in the statement that contains the offset. */
function measurementIn(tokens, offset) {
  const end = tokens.findIndex(({ text, from }) => text === ';' && from >= offset);
  const upTo = end < 0 ? tokens : tokens.slice(0, end);
  const own = upTo.slice(upTo.findLastIndex(({ text, to }) => text === ';' && to <= offset) + 1);
  const at = own.findIndex(({ upper }) => upper === 'FROM');
  if (at < 0) return null;
  let name = null;
  for (const token of own.slice(at + 1)) {
    if (token.kind === 'word' || token.kind === 'name') name = token;
    else if (token.text !== '.') break;
    else continue;
    const next = own[own.indexOf(token) + 1];
    if (next?.text !== '.') break;
  }
  return name && nameOf(name);
}

const named = (names, type) => nameChoices(names, type, quoted);

/**
 * Returns the completions in CodeMirror's format. The functions of `schema` return promises:
 * `databases()`, `measurements()`, `tags(m)`, `fields(m)`, `values(m, tag)`.
 */
export async function choices(text, whole, schema) {
  const { place, measurement, tag, from } = placeIn(text, whole);
  const lists = {
    beginning: async () => [],
    keywords: async () => [],
    databases: async () => named(await schema.databases(), 'namespace'),
    measurements: async () => named(await schema.measurements(), 'class'),
    tags: async () => named(await schema.tags(measurement), 'property'),
    values: async () => valueChoices(await schema.values(measurement, tag), quotedText),
    condition: async () => [...(await columns(schema, measurement)), { label: 'time', type: 'variable' }],
    dimensions: async () => [
      { label: 'time', apply: 'time(', detail: '(interval)', type: 'function' },
      ...named(await schema.tags(measurement), 'property'),
    ],
    columns: async () => [...(await columns(schema, measurement)), ...calls],
  };
  const options = await lists[place]();
  if (place !== 'values') options.push(...words);
  return { from, options };
}

const calls = functionChoices(functions);
const words = keywordChoices(keywords);

async function columns(schema, measurement) {
  const [fields, tags] = await Promise.all([schema.fields(measurement), schema.tags(measurement)]);
  return [
    ...fields.map(([name, type]) => columnChoice(name, type, 20, quoted)),
    ...tags.map((name) => columnChoice(name, 'tag', 10, quoted)),
  ];
}
