// Completes SQL with keywords, the server's functions, and the names in the database.

import { columnChoice, functionChoices, keywordChoices, nameChoices, valueChoices } from '../editor/choices.js';
import { keywords, meaningful, nameOf, quoted, quotedText, tablesIn, wordsOf } from './words.js';

const beforeTables = new Set(['FROM', 'JOIN', 'DESCRIBE']);
const beforeColumns = new Set(
  'SELECT DISTINCT WHERE AND OR NOT ON BY HAVING CASE WHEN THEN ELSE BETWEEN USING'.split(' '),
);
const comparisons = ['=', '!=', '<>'];
const none = async () => [];

/**
 * Returns the kind of word that is expected at the end of the text. `from` is the start of the
 * current word. `tag` is the column whose value is expected.
 */
export function placeIn(text) {
  const all = wordsOf(text);
  const last = all.at(-1);
  if (last?.kind === 'comment') return { place: 'nothing', from: text.length };
  const isWriting = ['word', 'name', 'string'].includes(last?.kind);
  const from = isWriting ? last.from : text.length;
  const before = meaningful(isWriting ? all.slice(0, -1) : all);
  const [key, sign] = before.slice(-2);
  if (comparisons.includes(sign?.text) && ['word', 'name'].includes(key.kind)) {
    return { place: 'values', tag: nameOf(key), from };
  }
  if (last?.kind === 'string') return { place: 'nothing', from: text.length };
  const deciding = before.findLast(({ upper }) => beforeTables.has(upper) || beforeColumns.has(upper));
  if (!deciding) return { place: 'keywords', from };
  return { place: beforeTables.has(deciding.upper) ? 'tables' : 'columns', from };
}

/**
 * Returns the completions in CodeMirror's format. The functions of `schema` return promises:
 * `measurements()`, `tags(m)`, `fields(m)`, `values(m, tag)`, `functions()`.
 */
export async function choices(text, whole, schema) {
  const { place, tag, from } = placeIn(text);
  const tables = async () => {
    const there = await schema.measurements();
    return tablesIn(whole).filter((name) => there.includes(name));
  };
  const lists = {
    nothing: none,
    keywords: none,
    tables: async () => nameChoices(await schema.measurements(), 'class', quoted),
    values: async () => valuesOf(await tables(), tag, schema),
    columns: async () => [...(await columnsOf(await tables(), schema)), ...functionChoices(await schema.functions())],
  };
  const options = await lists[place]();
  if (!['values', 'nothing'].includes(place)) options.push(...words);
  return { from, options };
}

const words = keywordChoices(keywords);

async function valuesOf(tables, tag, schema) {
  const lists = await Promise.all(tables.map((table) => schema.values(table, tag)));
  return valueChoices([...new Set(lists.flat())], quotedText);
}

/**
 * Returns the distinct columns of the tables. If the text contains no table, returns the columns of
 * all tables.
 */
async function columnsOf(tables, schema) {
  const of = tables.length > 0 ? tables : [undefined];
  const lists = await Promise.all(
    of.map(async (table) => {
      const [fields, tags] = await Promise.all([schema.fields(table), schema.tags(table)]);
      return [
        ...fields.map(([name, type]) => column(name, type, 20)),
        ...tags.map((name) => column(name, 'tag', 10)),
      ];
    }),
  );
  const once = new Map([...lists.flat(), column('time', 'timestamp', 15)].map((one) => [one.label, one]));
  return [...once.values()];
}

const column = (name, detail, boost) => columnChoice(name, detail, boost, quoted);
