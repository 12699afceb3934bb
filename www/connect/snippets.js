// Settings for clients, which the user can copy. They contain the token that the user has just
// created, or a placeholder, but never the page's token.

import { createDatabase } from '../influxql/statements.js';

const shell = (text) => `'${text.replace(/'/g, "'\\''")}'`;

const literal = (text) => JSON.stringify(text);

const placeholder = 'TOKEN';

export const curlOf = (origin, db, query, token = placeholder, path = '/query') =>
  [
    `curl -H 'Authorization: Token ${token}' ${shell(`${origin}${path}`)}`,
    ...(db ? [`  --data-urlencode ${shell(`db=${db}`)}`] : []),
    `  --data-urlencode ${shell(`q=${query}`)}`,
  ].join(' \\\n');

const telegraf = (origin, db, token) => `# A database that a write creates keeps points for three days.
# To keep points permanently, first run: ${createDatabase(db)}
[[outputs.influxdb_v2]]
  urls = [${literal(origin)}]
  token = ${token ? literal(token) : '"$TIDEMARK_TOKEN"'}
  organization = "any"
  bucket = ${literal(db)}

# Sample metrics: the CPU and memory of this machine.
[[inputs.cpu]]
[[inputs.mem]]
`;

const grafana = (origin, db, token) => `# /etc/grafana/provisioning/datasources/tidemark.yaml
apiVersion: 1
datasources:
  - name: Tidemark
    type: influxdb
    access: proxy
    url: ${literal(origin)}
    jsonData:
      version: InfluxQL
      dbName: ${literal(db)}
      httpMode: POST
      httpHeaderName1: Authorization
    secureJsonData:
      httpHeaderValue1: "Token ${token || placeholder}"
`;

const curl = (origin, db, token) => `# Create the database, write a point, and query the point.
${curlOf(origin, '', createDatabase(db), token || placeholder)}

curl -H 'Authorization: Token ${token || placeholder}' ${shell(`${origin}/api/v2/write?bucket=${encodeURIComponent(db)}`)} \\
  --data-binary 'room,floor=1 temperature=21.5'

${curlOf(origin, db, 'SELECT * FROM room', token || placeholder)}
`;

const javascript = (origin, db, token) => `// npm install @influxdata/influxdb-client
import { InfluxDB, Point } from '@influxdata/influxdb-client';

const url = ${literal(origin)};
const token = ${token ? literal(token) : 'process.env.TIDEMARK_TOKEN'};

const writing = new InfluxDB({ url, token }).getWriteApi('any', ${literal(db)}, 'ms');
writing.writePoint(new Point('room').tag('floor', '1').floatField('temperature', 21.5));
await writing.close();

const response = await fetch(\`\${url}/query\`, {
  method: 'POST',
  headers: { Authorization: \`Token \${token}\` },
  body: new URLSearchParams({ db: ${literal(db)}, q: 'SELECT * FROM room' }),
});
console.log(JSON.stringify(await response.json()));
`;

const python = (origin, db, token) => `# pip install influxdb-client
import json
import os
import urllib.parse
import urllib.request

from influxdb_client import InfluxDBClient, Point
from influxdb_client.client.write_api import SYNCHRONOUS

url = ${literal(origin)}
token = ${token ? literal(token) : 'os.environ["TIDEMARK_TOKEN"]'}

with InfluxDBClient(url=url, token=token, org="any") as client:
    point = Point("room").tag("floor", "1").field("temperature", 21.5)
    client.write_api(write_options=SYNCHRONOUS).write(bucket=${literal(db)}, record=point)

form = urllib.parse.urlencode({"db": ${literal(db)}, "q": "SELECT * FROM room"}).encode()
query = urllib.request.Request(url + "/query", form, {"Authorization": "Token " + token})
print(json.dumps(json.load(urllib.request.urlopen(query))))
`;

const influx = (origin, db, token) => {
  const { hostname, port, protocol } = new URL(origin);
  const secure = protocol === 'https:' ? ' -ssl' : '';
  const number = port || (secure ? '443' : '80');
  return `# The shell of InfluxDB 1.x. The token is the password; the name does not matter.
INFLUX_USERNAME=any INFLUX_PASSWORD=${token || placeholder} influx -host ${hostname} -port ${number}${secure} \\
  -database ${shell(db)} -precision rfc3339
`;
};

/**
 * The titles and texts. The token may be empty.
 * @type {[string, (origin: string, db: string, token: string) => string][]}
 */
export const clients = [
  ['Telegraf', telegraf],
  ['Grafana', grafana],
  ['curl', curl],
  ['JavaScript', javascript],
  ['Python', python],
  ['influx shell', influx],
];
