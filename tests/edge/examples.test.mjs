// Runs every example against one new server.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { at } from '../../scripts/project.mjs';
import { sqlConfiguration } from '../../sql/process/binding.mjs';
import { callsOf, replay } from './flight_recorded.mjs';
import { flightOf, grpcClient } from './grpc_client.mjs';
import { has, tidemark, token, withoutSql } from './harness.mjs';
import { hasPythonClients, pythonProgram } from './python.mjs';
import { composeServices, dashboardAsks, dashboardStatements, grafanaAsks, grafanaAsksSql, jdbcAsks, metricsIn, prometheusScrapes, telegrafOutput } from './settings_files.mjs';

const tide = '1700000000 1.5\n1700003600 2.5\n1700007200 3.5\n';
const tideCsv = ['1700000000,1.5', '1700003600,2.5', '1700007200,3.5'].map((row) => `tide,${row}\n`).join('');
const tideLines = [1.5, 2.5, 3.5].map((level, hour) =>
  `tide,harbour=Bergen level=${level} ${1_700_000_000 + hour * 3600}000000000\n`).join('');

const prints = {
  'curl/curl.sh': `name,tags,time,level\n${tideCsv.replaceAll('tide,', 'tide,,')}${tideLines}`,
  'javascript/v1_client.mjs': tide,
  'javascript/v2_client.mjs': tide,
  'javascript/v3_client.mjs': tide,
  'python/asyncio_client.py': tide,
  'python/flight.py': tide,
  'python/parquet.py': tide,
  'python/superset.py': tide,
  'python/v1_client.py': tide,
  'python/v2_client.py': tide,
  'python/v3_client.py': tide,
  'shell/session.sh': `name,time,level\n${tideCsv}`,
};

/** The values of one Telegraf agent at two times, in the format of the inputs in telegraf.conf. */
const systemLines = [20, 10].map((secondsAgo, step) => {
  const time = `${Math.floor(Date.now() / 10_000) * 10 - secondsAgo}000000000`;
  const counter = 1_000 * (step + 1);
  return [
    `cpu,host=a,cpu=cpu-total usage_idle=90,usage_user=5,usage_system=3,usage_iowait=2 ${time}`,
    `mem,host=a used=4i,cached=2i,buffered=1i,free=9i,used_percent=25 ${time}`,
    `disk,host=a,path=/ used_percent=40 ${time}`,
    `diskio,host=a,name=sda read_bytes=${counter}i,write_bytes=${counter}i ${time}`,
    `net,host=a,interface=eth0 bytes_recv=${counter}i,bytes_sent=${counter}i ${time}`,
    `system,host=a load1=0.5,load5=0.4,load15=0.3,uptime=${counter}i ${time}`,
  ].join('\n');
}).join('\n');

const ofSql = ['python/flight.py', 'python/parquet.py', 'python/superset.py'];

/** The folders of programs whose output is in `prints`. Other tests run the other folders. */
const printing = ['curl', 'javascript', 'python', 'shell'];

test('every example that prints rows has an expected output', () => {
  const found = printing.flatMap((folder) => readdirSync(at('examples', folder)).map((name) => `${folder}/${name}`));
  assert.deepEqual(found.sort(), Object.keys(prints).sort());
});

test('the examples work as described', async (t) => {
  // Enables the metrics that only a single isolate or thread can count.
  const vars = { COUNT_DURATIONS: 'true', THREADS: '1' };
  const server = await tidemark(t, { vars, sql: withoutSql ? undefined : sqlConfiguration, backups: true });
  const { port } = await flightOf(t, server);
  const env = { ...process.env, TIDEMARK_URL: server.url, TIDEMARK_TOKEN: token, FLIGHT_PORT: String(port) };
  const run = async (program, args) => (await promisify(execFile)(program, args, { env, timeout: 60_000 })).stdout;
  const programs = {
    mjs: () => process.execPath,
    py: async (one) => ((await hasPythonClients(one)) ? pythonProgram : null),
    sh: (one) => (has(one, 'curl') && has(one, 'influx', ['-version']) ? 'sh' : null),
  };
  for (const [name, expected] of Object.entries(prints)) {
    const skip = ofSql.includes(name) && withoutSql;
    await t.test(name, { skip }, async (one) => {
      const program = await programs[name.split('.').at(-1)](one);
      if (!program) return;
      await server.query('DROP DATABASE demo');
      assert.deepEqual(await server.rows('SHOW DATABASES'), [], 'the server is not empty');
      assert.equal(await run(program, [at('examples', ...name.split('/'))]), expected);
      const rows = await server.rows('SELECT level FROM tide', { db: 'demo', epoch: 's' });
      assert.deepEqual(rows, [[1_700_000_000, 1.5], [1_700_003_600, 2.5], [1_700_007_200, 3.5]]);
    });
  }

  // The range is a multiple of Grafana's window, so that the range begins and ends with a window.
  const now = Math.floor(Date.now() / 10_000) * 10;
  const given = { TIDEMARK_URL: server.url, TIDEMARK_TOKEN: token };
  await server.query('DROP DATABASE demo');
  for (const name of ['telegraf.conf', 'telegraf_v1.conf']) {
    await t.test(`telegraf/${name}, simulated`, async () => {
      const output = telegrafOutput(readFileSync(at('examples', 'telegraf', name), 'utf8'), given);
      await server.query('DROP DATABASE telegraf');
      output.buffer = [`cpu,file=${name} usage_idle=90 ${now}000000000`];
      await output.flush();
      assert.deepEqual(output.log, []);
      const q = `SELECT usage_idle FROM cpu WHERE file = '${name}'`;
      assert.deepEqual(await server.rows(q, { db: 'telegraf', epoch: 's' }), [[now, 90]]);
    });
  }
  await t.test('grafana/tidemark.yaml, simulated', async () => {
    const ask = grafanaAsks(readFileSync(at('examples', 'grafana', 'tidemark.yaml'), 'utf8'), given);
    assert.deepEqual((await ask('SHOW MEASUREMENTS'))[0].values, [['cpu']]);
    const [before, written, after] = [-10, 0, 10].map((s) => (now + s) * 1_000);
    const q = `SELECT mean("usage_idle") FROM "cpu" WHERE time >= ${before}ms and time <= ${after}ms GROUP BY time(10s) fill(null)`;
    assert.deepEqual((await ask(q))[0].values, [[before, null], [written, 90], [after, null]]);
  });
  await t.test('every panel of grafana/system.json has a value', async () => {
    await server.query('CREATE DATABASE system_metrics');
    await server.mustWrite(systemLines, { db: 'system_metrics' });
    const statements = dashboardStatements(readFileSync(at('examples', 'grafana', 'system.json'), 'utf8'));
    assert.equal(statements.length, 10);
    for (const { title, q } of statements) {
      const [series] = await server.series(q, { db: 'system_metrics', epoch: 'ms' });
      const columns = series?.columns ?? [];
      for (let column = 1; column < columns.length; column += 1) {
        assert.ok(series.values.some((row) => row[column] !== null), `${title}: ${columns[column]}`);
      }
      assert.ok(columns.length > 1, `${title}: ${q}`);
    }
    const inputs = readFileSync(at('examples', 'telegraf', 'telegraf.conf'), 'utf8');
    for (const [, measurement] of systemLines.matchAll(/^(\w+),/gm)) assert.ok(inputs.includes(`[[inputs.${measurement}]]`), measurement);
    await server.query('DROP DATABASE system_metrics');
  });
  await t.test('compose/compose.yaml provides the files and settings of each program', () => {
    const folder = at('examples', 'compose');
    const services = composeServices(readFileSync(join(folder, 'compose.yaml'), 'utf8'), folder, { ADMIN_TOKEN: token });
    for (const name of ['telegraf', 'grafana']) {
      const { TIDEMARK_URL: url, TIDEMARK_TOKEN: secret } = services[name].environment;
      assert.deepEqual([url, secret], ['http://tidemark:8787', services.tidemark.environment.ADMIN_TOKEN]);
    }
  });
  await t.test('grafana/tidemark_sql.yaml, simulated', { skip: withoutSql }, async (one) => {
    const place = { FLIGHT_URL: `http://127.0.0.1:${port}`, TIDEMARK_TOKEN: token };
    const { address, calls } = grafanaAsksSql(readFileSync(at('examples', 'grafana', 'tidemark_sql.yaml'), 'utf8'), place);
    await replay(grpcClient(one, address), callsOf(calls), token);
  });
  await t.test('jdbc/Query.java, simulated', { skip: withoutSql }, async (one) => {
    if (!has(one, 'java', ['-version'])) return;
    await server.query('CREATE DATABASE demo');
    await server.mustWrite(tideLines, { db: 'demo' });
    const file = at('examples', 'jdbc', 'Query.java');
    // Java's error message about the missing driver contains the address.
    const { stderr } = await promisify(execFile)('java', [file], { env }).catch((error) => error);
    assert.match(stderr, /No suitable driver found for jdbc:/);
    const { address, calls } = jdbcAsks(readFileSync(file, 'utf8'), stderr);
    await replay(grpcClient(one, address), callsOf(calls), token);
    await server.query('DROP DATABASE demo');
  });
  await t.test('prometheus/prometheus.yml, simulated', async () => {
    await server.query('CREATE DATABASE "a b"');
    const settings = readFileSync(at('examples', 'prometheus', 'prometheus.yml'), 'utf8');
    const scraped = await prometheusScrapes(settings, { url: server.url, token });
    const { host } = new URL(server.url);
    assert.deepEqual(Object.keys(scraped), [`${host}/a b`, `${host}/telegraf`]);
    const written = /^tidemark_points_written_total\{database="telegraf",.*\} 1$/m;
    assert.match(scraped[`${host}/telegraf`], written);
    assert.ok(Object.values(scraped).every((text) => text.endsWith('# EOF\n')));
  });
  await t.test('grafana/dashboard.json queries only metrics that are scraped', async () => {
    const limits = { db: 'telegraf', points_per_minute: 1000 };
    const headers = { 'Content-Type': 'application/json' };
    const init = { method: 'POST', headers, body: JSON.stringify(limits) };
    assert.equal((await server.fetch('/api/v3/configure/quota', init)).status, 200);
    const schedule = { method: 'POST', headers, body: JSON.stringify({ db: 'telegraf', every: '1d', keep: 1 }) };
    assert.equal((await server.fetch('/api/v3/configure/backup', schedule)).status, 200);
    const settings = readFileSync(at('examples', 'prometheus', 'prometheus.yml'), 'utf8');
    const scraped = await prometheusScrapes(settings, { url: server.url, token });
    const metrics = metricsIn(scraped[`${new URL(server.url).host}/telegraf`]);
    const asks = dashboardAsks(readFileSync(at('examples', 'grafana', 'dashboard.json'), 'utf8'));
    const used = new Set();
    for (const { title, expr, legend } of asks) {
      // Prometheus itself defines the metric `up`.
      const names = expr.match(/\btidemark_\w+/g) ?? expr.match(/\bup\{job="tidemark"\}/g) ?? [];
      assert.ok(names.length > 0, `${title}: ${expr}`);
      for (const name of names.filter((one) => !one.startsWith('up'))) {
        assert.ok(metrics.has(name), `${title}: ${name}`);
        used.add(name);
        for (const [, label] of `${legend} ${expr}`.matchAll(/(?:\{\{| by \()(\w+)/g)) {
          assert.ok(metrics.get(name).has(label), `${title}: ${name} has no ${label}`);
        }
      }
    }
    assert.deepEqual([...metrics.keys()].filter((name) => !used.has(name)), [], 'without a panel');
  });
});
