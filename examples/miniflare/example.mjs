// Starts a database, writes to it with a client, queries it, and stops it.
//
//   npm run build && node examples/miniflare/example.mjs

import { InfluxDB, Point } from '@influxdata/influxdb-client';

import { startTidemark } from './tidemark.mjs';

const token = 'a-token-of-this-example';
const database = await startTidemark({ token, settings: { LOG_REQUESTS: 'none' } });
try {
  // The first write creates the database `demo`, which keeps points for three days.
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
