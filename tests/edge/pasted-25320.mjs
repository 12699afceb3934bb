// npm install @influxdata/influxdb-client
import { InfluxDB, Point } from '@influxdata/influxdb-client';

const url = "http://127.0.0.1:45855";
const token = process.env.TIDEMARK_TOKEN;

const writing = new InfluxDB({ url, token }).getWriteApi('any', "my db", 'ms');
writing.writePoint(new Point('room').tag('floor', '1').floatField('temperature', 21.5));
await writing.close();

const response = await fetch(`${url}/query`, {
  method: 'POST',
  headers: { Authorization: `Token ${token}` },
  body: new URLSearchParams({ db: "my db", q: 'SELECT * FROM room' }),
});
console.log(JSON.stringify(await response.json()));
