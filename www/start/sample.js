// The sample data and its example queries.

import { post, textOf } from '../api/query.js';
import { request } from '../api/transport.js';

/** The sample database has unlimited retention. */
export const sampleDatabase = 'sample';

const range = '2012-01-01T00:00:00.000Z..2016-01-01T00:00:00.000Z';

export const suggestions = [
  {
    title: 'Highest and lowest temperature per week',
    view: 'chart',
    query:
      'SELECT max(temp_max) AS high, min(temp_min) AS low\nFROM weather\nGROUP BY time(7d), city',
  },
  {
    title: 'Rain per month',
    view: 'chart',
    query: 'SELECT sum(precipitation) AS rain\nFROM weather\nGROUP BY time(30d), city',
  },
  {
    title: 'Sunny days per year, and their mean temperature',
    view: 'table',
    query:
      "SELECT count(wind) AS sunny, mean(temp_max) AS high\nFROM weather\nWHERE sky = 'sun'\nGROUP BY time(365d), city fill(none)",
  },
  {
    title: 'The ten windiest days',
    view: 'table',
    query: 'SELECT top(wind, 10) AS wind, city, sky\nFROM weather',
  },
].map((one) => ({ ...one, range, db: sampleDatabase }));

let bytes = null;

export function bytesOfSample() {
  bytes ??= loadBytes().catch((error) => {
    bytes = null;
    throw error;
  });
  return bytes;
}

async function loadBytes() {
  // The address is relative, because the page may be in a subfolder of its host.
  const response = await fetch('sample/weather.lp.gz');
  if (!response.ok) throw new Error(`The sample data could not be loaded: ${response.status}.`);
  return response.arrayBuffer();
}

/** Throws the server's error. */
export async function loadSample() {
  const [data] = await Promise.all([
    bytesOfSample(),
    post(`CREATE DATABASE ${sampleDatabase}`).then(textOf),
  ]);
  const path = `/api/v2/write?bucket=${sampleDatabase}&precision=s`;
  await textOf(
    await request(path, { method: 'POST', headers: { 'Content-Encoding': 'gzip' }, body: data }),
  );
}
