// Writes with @influxdata/influxdb3-client over HTTP, and queries InfluxQL with fetch. The client
// sends its own queries over Arrow Flight, through `tidemark flight` (docs/FLIGHT.md).
//
//   npm install @influxdata/influxdb3-client && node v3_client.mjs

import { InfluxDBClient, Point } from '@influxdata/influxdb3-client';

const host = process.env.TIDEMARK_URL ?? 'http://127.0.0.1:8787';
const token = process.env.TIDEMARK_TOKEN;

async function query(q, db = '') {
  const response = await fetch(`${host}/query`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${token}` },
    body: new URLSearchParams({ db, epoch: 's', q }),
  });
  const { results, error } = await response.json();
  if (!response.ok || results[0].error) throw new Error(error ?? results[0].error);
  return results[0].series?.[0].values ?? [];
}

// This database keeps points permanently. A database that a write creates keeps points for three days.
await query('CREATE DATABASE demo');

const client = new InfluxDBClient({ host, token, database: 'demo' });
const points = [0, 1, 2].map((hour) =>
  Point.measurement('tide')
    .setTag('harbour', 'Bergen')
    .setFloatField('level', 1.5 + hour)
    .setTimestamp(1_700_000_000 + hour * 3600),
);
await client.write(points, undefined, undefined, { precision: 's' });
await client.close();

for (const [time, level] of await query('SELECT level FROM tide', 'demo')) console.log(time, level);
