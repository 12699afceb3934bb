// Settings for clients, ready to be pasted. The token is a word to be replaced, never the real one.

/** A text inside single quotes of a shell. */
const shell = (text) => `'${text.replace(/'/g, "'\\''")}'`;

/** A text inside double quotes of TOML, YAML, JavaScript or Python. */
const literal = (text) => JSON.stringify(text);

/** A query as a command line. */
export const curlOf = (origin, db, query) =>
  [
    `curl -H 'Authorization: Token TOKEN' ${shell(`${origin}/query`)}`,
    ...(db ? [`  --data-urlencode ${shell(`db=${db}`)}`] : []),
    `  --data-urlencode ${shell(`q=${query}`)}`,
  ].join(' \\\n');

const telegraf = (origin, db) => `[[outputs.influxdb_v2]]
  urls = [${literal(origin)}]
  token = "$TIDEMARK_TOKEN"
  organization = "any"
  bucket = ${literal(db)}

# Something to send: how busy this machine is.
[[inputs.cpu]]
[[inputs.mem]]
`;

const grafana = (origin, db) => `# /etc/grafana/provisioning/datasources/tidemark.yaml
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
      httpHeaderValue1: "Token TOKEN"
`;

const curl = (origin, db) => `# Make the database, write a point, read it back.
${curlOf(origin, '', `CREATE DATABASE ${quotedName(db)}`)}

curl -H 'Authorization: Token TOKEN' ${shell(`${origin}/api/v2/write?bucket=${encodeURIComponent(db)}`)} \\
  --data-binary 'room,floor=1 temperature=21.5'

${curlOf(origin, db, 'SELECT * FROM room')}
`;

const quotedName = (db) => `"${db.replace(/\\/g, '\\\\').replace(/"/g, '\\"')}"`;

const javascript = (origin, db) => `// npm install @influxdata/influxdb-client
import { InfluxDB, Point } from '@influxdata/influxdb-client';

const url = ${literal(origin)};
const token = process.env.TIDEMARK_TOKEN;

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

const python = (origin, db) => `# pip install influxdb-client
import json
import os
import urllib.parse
import urllib.request

from influxdb_client import InfluxDBClient, Point
from influxdb_client.client.write_api import SYNCHRONOUS

url = ${literal(origin)}
token = os.environ["TIDEMARK_TOKEN"]

with InfluxDBClient(url=url, token=token, org="any") as client:
    point = Point("room").tag("floor", "1").field("temperature", 21.5)
    client.write_api(write_options=SYNCHRONOUS).write(bucket=${literal(db)}, record=point)

form = urllib.parse.urlencode({"db": ${literal(db)}, "q": "SELECT * FROM room"}).encode()
query = urllib.request.Request(url + "/query", form, {"Authorization": "Token " + token})
print(json.dumps(json.load(urllib.request.urlopen(query))))
`;

const influx = (origin, db) => {
  const { hostname, port, protocol } = new URL(origin);
  const secure = protocol === 'https:' ? ' -ssl' : '';
  const number = port || (secure ? '443' : '80');
  return `# The shell of InfluxDB 1.x. The token is the password; the name does not matter.
INFLUX_USERNAME=any INFLUX_PASSWORD=TOKEN influx -host ${hostname} -port ${number}${secure} \\
  -database ${shell(db)} -precision rfc3339
`;
};

/** `[title, file type, text(origin, db)]` of each client. */
export const clients = [
  ['Telegraf', 'TOML', telegraf],
  ['Grafana', 'YAML', grafana],
  ['curl', 'shell', curl],
  ['JavaScript', 'JavaScript', javascript],
  ['Python', 'Python', python],
  ['influx shell', 'shell', influx],
];
