// Reads the schema with SHOW statements, and caches the responses for half a minute.

import { quoted } from '../influxql/statements.js';
import { querySeries } from './query.js';
import { onPlace } from './transport.js';
import { onToken } from './token.js';

/** The maximum age of a cached response. */
const fresh_ms = 30_000;

/** The completion and the explorer display at most this number of tag values. */
const valuesMax = 200;

const answers = new Map();

/** Clears the cached responses. Writes and a button of the explorer call this function. */
export const forgetSchema = () => answers.clear();

onToken(forgetSchema);
onPlace(forgetSchema);

function seriesKept(q) {
  const known = answers.get(q);
  if (known && Date.now() - known.at_ms < fresh_ms) return known.answer;
  const answer = querySeries(q);
  answers.set(q, { answer, at_ms: Date.now() });
  answer.catch(() => answers.delete(q));
  return answer;
}

/** Returns the rows of the first series. */
const rowsKept = async (q) => (await seriesKept(q))[0]?.values ?? [];
const firsts = async (q) => (await rowsKept(q)).map(([first]) => first);

const source = (...names) => names.filter(Boolean).map(quoted).join('.');

const from = (policy, measurement) => (measurement ? ` FROM ${source(policy, measurement)}` : '');

export const databases = () => firsts('SHOW DATABASES');

export const policies = async (db) =>
  (await rowsKept(`SHOW RETENTION POLICIES ON ${quoted(db)}`)).map((row) => ({
    name: row[0],
    duration: row[1],
    isDefault: row.at(-1),
  }));

export const measurements = (db, policy) => firsts(`SHOW MEASUREMENTS ON ${source(db, policy)}`);

/** Returns the tag keys of a measurement, or of all measurements if none is given. */
export const tags = async (db, measurement, policy) => {
  const series = await seriesKept(`SHOW TAG KEYS ON ${quoted(db)}${from(policy, measurement)}`);
  return distinct(series.flatMap(({ values }) => values.map(([key]) => key)));
};

export const fields = async (db, measurement, policy) => {
  const series = await seriesKept(`SHOW FIELD KEYS ON ${quoted(db)}${from(policy, measurement)}`);
  return [...new Map(series.flatMap(({ values }) => values))];
};

const distinct = (names) => [...new Set(names)];

const valuesOf = (db, measurement, tag, policy, how = '') => {
  const place = `ON ${quoted(db)}${from(policy, measurement)}`;
  return `SHOW TAG VALUES ${how}${place} WITH KEY = ${quoted(tag)}`;
};

/** Returns at most [valuesMax] values. */
export const values = async (db, measurement, tag, policy) => {
  const rows = await rowsKept(`${valuesOf(db, measurement, tag, policy)} LIMIT ${valuesMax}`);
  return distinct(rows.map(([, value]) => value));
};

export const valueCount = async (db, measurement, tag, policy) => {
  const q = valuesOf(db, measurement, tag, policy, 'EXACT CARDINALITY ');
  return (await rowsKept(q))[0]?.[0] ?? 0;
};

export const seriesCount = async (db, measurement, policy) => {
  const q = `SHOW SERIES EXACT CARDINALITY ON ${quoted(db)}${from(policy, measurement)}`;
  const series = await seriesKept(q);
  return series.reduce((sum, { values: [[count]] }) => sum + count, 0);
};

export const schemaOf = (db) => ({
  databases,
  measurements: () => (db ? measurements(db) : Promise.resolve([])),
  tags: (measurement) => (db ? tags(db, measurement) : Promise.resolve([])),
  fields: (measurement) => (db ? fields(db, measurement) : Promise.resolve([])),
  values: (measurement, tag) => (db ? values(db, measurement, tag) : Promise.resolve([])),
});
