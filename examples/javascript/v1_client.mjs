// Writes and queries with influx, the client for InfluxDB 1.x.
//
//   npm install influx && node v1_client.mjs

import { FieldType, InfluxDB } from 'influx';

const { hostname, port, protocol } = new URL(process.env.TIDEMARK_URL ?? 'http://127.0.0.1:8787');

const client = new InfluxDB({
  host: hostname,
  port: Number(port || (protocol === 'https:' ? 443 : 80)),
  protocol: protocol.replace(':', ''),
  database: 'demo',
  // The token is the password. Any user name works.
  username: 'any',
  password: process.env.TIDEMARK_TOKEN,
  schema: [{ measurement: 'tide', tags: ['harbour'], fields: { level: FieldType.FLOAT } }],
});

// This database keeps points permanently. A database that a write creates keeps points for three days.
await client.createDatabase('demo');

const points = [0, 1, 2].map((hour) => ({
  measurement: 'tide',
  tags: { harbour: 'Bergen' },
  fields: { level: 1.5 + hour },
  timestamp: 1_700_000_000 + hour * 3600,
}));
await client.writePoints(points, { precision: 's' });

const rows = await client.query('SELECT level FROM tide', { precision: 's' });
for (const { time, level } of rows) console.log(time.getTime() / 1000, level);
