// @influxdata/influxdb3-client. It writes over HTTP; its queries need Flight, which Workers cannot
// serve, so InfluxQL goes by fetch.
//
//   npm install @influxdata/influxdb3-client && node v3_client.mjs

import { InfluxDBClient, Point } from '@influxdata/influxdb3-client';

const host = process.env.TIDEMARK_URL ?? 'http://127.0.0.1:8787';
const token = process.env.TIDEMARK_TOKEN;

const client = new InfluxDBClient({ host, token, database: 'demo' });
const points = [0, 1, 2].map((hour) =>
  Point.measurement('tide')
    .setTag('harbour', 'Bergen')
    .setFloatField('level', 1.5 + hour)
    .setTimestamp(1_700_000_000 + hour * 3600),
);
await client.write(points, undefined, undefined, { precision: 's' });
await client.close();

const search = new URLSearchParams({ db: 'demo', epoch: 's', q: 'SELECT level FROM tide' });
const headers = { Authorization: `Bearer ${token}` };
const response = await fetch(`${host}/query?${search}`, { headers });
const { results } = await response.json();
if (!response.ok || results[0].error) throw new Error(results?.[0].error ?? response.statusText);
for (const [time, level] of results[0].series[0].values) console.log(time, level);
