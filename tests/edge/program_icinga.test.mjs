// Tests both InfluxDB writers of Icinga 2 with check results of a host and a service.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { databaseToken, has, PlainWorkerd, temporaryFolder, tidemark } from './harness.mjs';
import { startProgram } from './program.mjs';

/** Icinga checks these objects every second. The check command is part of Icinga. */
const checked = String.raw`
object Host "web, 1" {
  check_command = "dummy"
  check_interval = 1s
  vars.dummy_state = 0
  vars.dummy_text = "up | load=1.5;2;3;0;10 'free space'=7GB"
}
object Service "disk" {
  host_name = "web, 1"
  check_command = "dummy"
  check_interval = 1s
  retry_interval = 1s
  vars.dummy_state = 1
  vars.dummy_text = "full | 'C:\\'=93%;80;95"
}
`;

const writer = (type, { hostname, port }, settings) => `
object ${type} "${type}" {
  host = "${hostname}"
  port = ${port}
  flush_interval = 1s
  flush_threshold = 8
  enable_send_thresholds = true
  enable_send_metadata = true
  ${Object.entries(settings).map(([name, value]) => `${name} = "${value}"`).join('\n  ')}
}
`;

const expected = [
  {
    q: "SELECT value, warn, crit, min, max, unit FROM dummy WHERE hostname = 'web, 1' AND metric = 'load'",
    row: [1.5, 2, 3, 0, 10, null],
  },
  {
    q: "SELECT value, unit FROM dummy WHERE metric = 'free space' AND service = ''",
    row: [7e9, 'bytes'],
  },
  {
    q: "SELECT value, warn, crit, unit FROM dummy WHERE service = 'disk' AND metric =~ /^C:/",
    row: [93, 80, 95, 'percent'],
  },
  {
    q: "SELECT state, reachable, downtime_depth FROM dummy WHERE service = '' AND metric = ''",
    row: [0, true, 0],
  },
  { q: "SELECT state, reachable FROM dummy WHERE service = 'disk' AND metric = ''", row: [1, true] },
];

test('Icinga 2 writes check results with both of its writers', async (t) => {
  if (!has(t, 'icinga2')) return;
  const server = await tidemark(t, {}, PlainWorkerd);
  const databases = ['v1', 'v2'];
  for (const name of databases) await server.query(`CREATE DATABASE ${name}`);
  const [first, second] = [await databaseToken(server, 'v1'), await databaseToken(server, 'v2')];
  const folder = temporaryFolder(t);
  const log = join(folder, 'icinga2.log');
  const address = new URL(server.url);
  const configuration = `include <itl>
object CheckerComponent "checker" { }
object FileLogger "log" { severity = "notice"; path = "${log}" }
${writer('InfluxdbWriter', address, { database: 'v1', username: 'any', password: first })}
${writer('Influxdb2Writer', address, { organization: 'any', bucket: 'v2', auth_token: second })}
${checked}`;
  writeFileSync(join(folder, 'icinga2.conf'), configuration);
  const group = execFileSync('id', ['-gn'], { encoding: 'utf8' }).trim();
  const constants = { 'Configuration.RunAsUser': userInfo().username, 'Configuration.RunAsGroup': group };
  for (const name of ['DataDir', 'CacheDir', 'LogDir', 'InitRunDir', 'SpoolDir']) {
    constants[name] = join(folder, name);
    mkdirSync(constants[name]);
  }
  const from = Math.floor(Date.now() / 1000);
  const defined = Object.entries(constants).flatMap(([name, value]) => ['--define', `${name}=${value}`]);
  const program = startProgram(t, 'icinga2', ['daemon', '--config', join(folder, 'icinga2.conf'), ...defined]);
  for (const db of databases) {
    for (const { q, row } of expected) {
      const rows = await program.until(`${db}: ${q}`, async () => {
        const found = await server.rows(q, { db, epoch: 's' });
        return found.length >= 2 ? found : undefined;
      });
      for (const [time, ...values] of rows) {
        assert.deepEqual(values, row);
        assert.ok(time >= from && time <= Date.now() / 1000 + 1, `${time}`);
      }
    }
  }
  await program.stop();
  const text = readFileSync(log, 'utf8');
  for (const type of ['InfluxdbWriter', 'Influxdb2Writer']) assert.ok(text.includes(`notice/${type}`), text);
  assert.doesNotMatch(text, /(warning|critical)\//);
});
