// Writes with @influxdata/influxdb-client. Queries with fetch, because this client sends queries in
// Flux.
//
//   npm install @influxdata/influxdb-client && node v2_client.mjs

import { InfluxDB, Point } from '@influxdata/influxdb-client';

const url = process.env.TIDEMARK_URL ?? 'http://127.0.0.1:8787';
const token = process.env.TIDEMARK_TOKEN;

async function query(q, db = '') {
  const response = await fetch(`${url}/query`, {
    method: 'POST',
    headers: { Authorization: `Token ${token}` },
    body: new URLSearchParams({ db, epoch: 's', q }),
  });
  const { results, error } = await response.json();
  if (!response.ok || results[0].error) throw new Error(error ?? results[0].error);
  return results[0].series?.[0].values ?? [];
}

// This database keeps points permanently. A database that a write creates keeps points for three days.
await query('CREATE DATABASE demo');

// Any organisation works. The client sends 1,000 points per batch. The cost of a batch does not
// depend on its number of points.
const writer = new InfluxDB({ url, token }).getWriteApi('any', 'demo', 's');
for (let hour = 0; hour < 3; hour += 1) {
  const point = new Point('tide').tag('harbour', 'Bergen').floatField('level', 1.5 + hour);
  writer.writePoint(point.timestamp(1_700_000_000 + hour * 3600));
}
await writer.close();

for (const [time, level] of await query('SELECT level FROM tide', 'demo')) console.log(time, level);
