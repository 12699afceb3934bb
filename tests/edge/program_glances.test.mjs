// Compares the values that Glances exports to InfluxDB 1, 2 and 3 with the values in its CSV file.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';

import { databaseToken, PlainWorkerd, temporaryFolder, tidemark } from './harness.mjs';
import { startProgram } from './program.mjs';
import { hasPythonClients, pythonProgram } from './python.mjs';

/** The prefixes of the columns in the CSV export. Points of an interface have its name as a tag. */
const plugins = { cpu: 'cpu.', mem: 'mem.', load: 'load.', network: 'network.lo.' };
const exports = ['influxdb', 'influxdb2', 'influxdb3'];
const rowsMin = 2;

function readCsv(file) {
  const lines = readFileSync(file, 'utf8').trim().split(/\r?\n/);
  const [header, ...rows] = lines.map((line) => line.split(','));
  return rows.map((row) => Object.fromEntries(header.map((name, i) => [name, row[i]])));
}

/** Selects the columns whose names begin with `prefix`, with values as InfluxDB stores them. */
function valuesOf(row, prefix) {
  const own = Object.entries(row).filter(([name, text]) => name.startsWith(prefix) && text !== '');
  const value = (text) => (Number.isNaN(Number(text)) ? text : Number(text));
  return Object.fromEntries(own.map(([name, text]) => [name.slice(prefix.length), value(text)]));
}

test('Glances can export to InfluxDB 1, 2 and 3', async (t) => {
  if (!(await hasPythonClients(t))) return;
  const server = await tidemark(t, {}, PlainWorkerd);
  for (const name of exports) await server.query(`CREATE DATABASE ${name}`);
  const [first, second, third] = await Promise.all(exports.map((name) => databaseToken(server, name)));
  const folder = temporaryFolder(t);
  const { hostname: host, port } = new URL(server.url);
  const sections = {
    influxdb: { host, port, user: 'any', password: first, db: 'influxdb', tags: 'place:here' },
    influxdb2: {
      host, port, protocol: 'http', user: '', password: '', org: 'any', bucket: 'influxdb2', token: second,
      tags: 'place:here', interval: 1,
    },
    influxdb3: { host: server.url, port, org: 'any', database: 'influxdb3', token: third, tags: 'place:here' },
  };
  const configuration = Object.entries(sections).map(([name, settings]) =>
    [`[${name}]`, ...Object.entries(settings).map(([key, value]) => `${key}=${value}`), ''].join('\n'));
  writeFileSync(join(folder, 'glances.conf'), configuration.join('\n'));
  mkdirSync(join(folder, 'glances'));
  const csv = join(folder, 'glances.csv');
  const program = startProgram(t, join(dirname(pythonProgram), 'glances'), [
    '--config', join(folder, 'glances.conf'), '--quiet', '--time', '1', '--disable-check-update',
    '--disable-plugin', 'all', '--enable-plugin', Object.keys(plugins).join(','),
    '--export', [...exports, 'csv'].join(','), '--export-csv-file', csv,
  ], { cwd: folder, env: { ...process.env, XDG_CACHE_HOME: folder } });

  const stored = [];
  for (const db of exports) {
    for (const plugin of Object.keys(plugins)) {
      const where = plugin === 'network' ? " AND interface_name = 'lo'" : '';
      const q = `SELECT * FROM ${plugin} WHERE place = 'here'${where}`;
      const { columns, values } = await program.until(`${db}: ${q}`, async () => {
        const [found] = await server.series(q, { db });
        return found?.values.length >= rowsMin ? found : undefined;
      });
      const rows = values.map((row) => Object.fromEntries(columns.map((name, i) => [name, row[i]])));
      stored.push({ db, plugin, rows });
    }
  }
  const log = readFileSync(join(folder, 'glances', 'glances.log'), 'utf8');
  assert.match(log, /Connected to InfluxDB server version 1\./);
  assert.doesNotMatch(log, /ERROR|CRITICAL|Cannot/);
  await program.stop();

  const exported = readCsv(csv);
  for (const { db, plugin, rows } of stored) {
    const possible = exported.map((row) => valuesOf(row, plugins[plugin]));
    assert.ok(possible.every((values) => Object.keys(values).length > 3), plugin);
    // With v1, two exports in the same second are stored as one point.
    for (const row of rows) {
      const isRow = (values) => Object.entries(values).every(([name, value]) => row[name] === value);
      assert.ok(possible.some(isRow), `${db}: ${plugin}: ${JSON.stringify(row)}`);
    }
  }
});
