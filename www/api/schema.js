// What is in the databases, by SHOW statements, kept for half a minute.

import { quoted } from '../influxql/statements.js';
import { ask, rowsOf } from './ask.js';
import { onPlace } from './transport.js';
import { onToken } from './token.js';

/** How long an answer is believed. */
const fresh_ms = 30_000;

/** Tag values that completion and explorer show. */
export const valuesMax = 200;

const answers = new Map();

/** Forgets every answer: after writes, and for the button of the explorer. */
export const forgetSchema = () => answers.clear();

onToken(forgetSchema);
onPlace(forgetSchema);

function kept(key, get) {
  const known = answers.get(key);
  if (known && Date.now() - known.at_ms < fresh_ms) return known.answer;
  const answer = get();
  answers.set(key, { answer, at_ms: Date.now() });
  answer.catch(() => answers.delete(key));
  return answer;
}

const rowsKept = (q) => kept(q, () => rowsOf(q));
const firsts = async (q) => (await rowsKept(q)).map(([first]) => first);

/** `"rp"."m"`, or whatever of the two there is. */
const source = (policy, measurement) =>
  [policy, measurement]
    .filter((name) => name)
    .map(quoted)
    .join('.');

const from = (policy, measurement) => (measurement ? ` FROM ${source(policy, measurement)}` : '');

export const databases = () => firsts('SHOW DATABASES');

/** `{ name, duration, isDefault }` of each policy. */
export const policies = async (db) =>
  (await rowsKept(`SHOW RETENTION POLICIES ON ${quoted(db)}`)).map((row) => ({
    name: row[0],
    duration: row[1],
    isDefault: row.at(-1),
  }));

export const measurements = (db, policy) => firsts(`SHOW MEASUREMENTS ON ${source(db, policy)}`);

/** Keys of the tags, of every measurement if none is given. */
export const tags = async (db, measurement, policy) => {
  const q = `SHOW TAG KEYS ON ${quoted(db)}${from(policy, measurement)}`;
  const [series] = await kept(q, () => ask(q));
  return distinct(series.flatMap(({ values }) => values.map(([key]) => key)));
};

/** `[name, type]` of each field. */
export const fields = async (db, measurement, policy) => {
  const q = `SHOW FIELD KEYS ON ${quoted(db)}${from(policy, measurement)}`;
  const [series] = await kept(q, () => ask(q));
  const types = new Map(series.flatMap(({ values }) => values));
  return [...types];
};

const distinct = (names) => [...new Set(names)];

const valuesOf = (db, measurement, tag, policy, how = '') => {
  const place = `ON ${quoted(db)}${from(policy, measurement)}`;
  return `SHOW TAG VALUES ${how}${place} WITH KEY = ${quoted(tag)}`;
};

/** The first values of a tag. */
export const values = async (db, measurement, tag, policy) =>
  distinct(
    (await rowsKept(`${valuesOf(db, measurement, tag, policy)} LIMIT ${valuesMax}`)).map(
      ([, value]) => value,
    ),
  );

/** How many values a tag has. */
export const valueCount = async (db, measurement, tag, policy) => {
  const q = valuesOf(db, measurement, tag, policy, 'EXACT CARDINALITY ');
  return (await rowsKept(q))[0]?.[0] ?? 0;
};

/** How many series a measurement has. */
export const seriesCount = async (db, measurement, policy) => {
  const q = `SHOW SERIES EXACT CARDINALITY ON ${quoted(db)}${from(policy, measurement)}`;
  const [series] = await kept(q, () => ask(q));
  return series.reduce((sum, { values: [[count]] }) => sum + count, 0);
};

/** The names that completion asks for, of one database. */
export const schemaOf = (db) => ({
  databases,
  measurements: () => (db ? measurements(db) : Promise.resolve([])),
  tags: (measurement) => (db ? tags(db, measurement) : Promise.resolve([])),
  fields: (measurement) => (db ? fields(db, measurement) : Promise.resolve([])),
  values: (measurement, tag) => (db ? values(db, measurement, tag) : Promise.resolve([])),
});
