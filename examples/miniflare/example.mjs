// Starts a database, lets a client write to it, asks it, and ends it.
//
//   npm run build && node examples/miniflare/example.mjs

import { InfluxDB, Point } from '@influxdata/influxdb-client';

import { startTidemark } from './tidemark.mjs';

const token = 'a-token-of-this-example';
const database = await startTidemark({ token, settings: { LOG_REQUESTS: 'none' } });
try {
  // The database `demo` is created by the first write, and keeps its points for three days.
  const writer = new InfluxDB({ url: database.url, token }).getWriteApi('', 'demo', 'ms');
  writer.writePoint(new Point('weather').tag('city', 'Oslo').floatField('temperature', 12.5));
  await writer.close();

  const q = 'SELECT city, temperature FROM weather';
  const headers = { Authorization: `Token ${token}` };
  const search = new URLSearchParams({ db: 'demo', q });
  const response = await fetch(`${database.url}/query?${search}`, { headers });
  const [{ columns, values }] = (await response.json()).results[0].series;
  console.log(columns.join(' '));
  for (const row of values) console.log(row.join(' '));
} finally {
  await database.stop();
}
