// Telegraf's and Grafana's settings files, as far as the examples use them, and the programs acted
// out: neither is installed here.

import assert from 'node:assert/strict';

import { TelegrafV1, TelegrafV2 } from './telegraf_outputs.mjs';

/** `${NAME}` and `$NAME` as both programs take them from the environment. */
const filled = (text, env) =>
  text.replace(/\$\{(\w+)\}|\$(\w+)/g, (whole, braced, bare) => {
    const name = braced ?? bare;
    assert.ok(name in env, `${name} is not in the environment of the test`);
    return env[name];
  });

/** A value of TOML: text, whole number, truth or a list of these. */
function tomlValue(text) {
  if (/^".*"$/.test(text) || /^\[.*\]$/.test(text) || /^-?\d+$/.test(text)) return JSON.parse(text);
  assert.match(text, /^(true|false)$/, `not a value: ${text}`);
  return text === 'true';
}

/** The tables of a Telegraf file: `[name, { key: value }]`, in order. */
export function telegrafTables(text, env) {
  const tables = [];
  for (const line of filled(text, env).split('\n').map((one) => one.replace(/^\s*#.*|\s+#.*$/, '').trim())) {
    if (line === '') continue;
    const head = /^\[\[?([\w.]+)\]\]?$/.exec(line);
    if (head) {
      tables.push([head[1], {}]);
      continue;
    }
    const [, key, value] = /^(\w+)\s*=\s*(.+)$/.exec(line) ?? assert.fail(`not TOML: ${line}`);
    tables.at(-1)[1][key] = tomlValue(value);
  }
  return tables;
}

/** What each table is called in the program, and which of its settings the example may use. */
const known = {
  agent: ['interval', 'flush_interval', 'metric_batch_size', 'metric_buffer_limit'],
  'outputs.influxdb_v2': ['urls', 'token', 'organization', 'bucket'],
  'outputs.influxdb': ['urls', 'database', 'username', 'password', 'skip_database_creation'],
};

/** The output of a Telegraf file, ready to send. */
export function telegrafOutput(text, env) {
  const tables = telegrafTables(text, env);
  for (const [name, settings] of tables) {
    const allowed = name.startsWith('inputs.') ? [] : known[name];
    assert.ok(allowed, `Telegraf has no table ${name}`);
    for (const key of Object.keys(settings)) assert.ok(allowed.includes(key), `${name}.${key}`);
  }
  const outputs = tables.filter(([name]) => name.startsWith('outputs.'));
  assert.equal(outputs.length, 1);
  const [[name, { urls, ...settings }]] = outputs;
  const [, agent = {}] = tables.find(([one]) => one === 'agent') ?? [];
  const batchSize = agent.metric_batch_size ?? 1000;
  if (name === 'outputs.influxdb_v2') {
    assert.notEqual(settings.organization, '');
    return new TelegrafV2({ url: urls[0], token: settings.token, bucket: settings.bucket, batchSize });
  }
  return new TelegrafV1({ url: urls[0], token: settings.password, database: settings.database, batchSize });
}

/** The first data source of a provisioning file, as flat `{ 'jsonData.httpMode': … }`. */
function grafanaSource(text, env) {
  const source = {};
  let group = '';
  for (const line of filled(text, env).split('\n')) {
    const found = /^( *)(?:- )?(\w+):\s*(.*)$/.exec(line);
    if (!found || line.trimStart().startsWith('#')) continue;
    const [, indent, key, value] = found;
    if (indent.length <= 4 && value !== '') group = '';
    if (value === '') group = indent.length === 4 ? `${key}.` : '';
    else source[(indent.length > 4 ? group : '') + key] = value.replace(/^"(.*)"$/, '$1');
  }
  return source;
}

/**
 * Asks what Grafana's data source asks: `ask(q)` resolves to the series. The form is that of its
 * InfluxQL mode: database, epoch and query, by POST, with the headers that the file gives it.
 */
export function grafanaAsks(text, env) {
  const source = grafanaSource(text, env);
  assert.deepEqual(
    [source.type, source.access, source['jsonData.version'], source['jsonData.httpMode']],
    ['influxdb', 'proxy', 'InfluxQL', 'POST'],
  );
  const headers = { [source['jsonData.httpHeaderName1']]: source['secureJsonData.httpHeaderValue1'] };
  return async (q) => {
    const search = new URLSearchParams({ db: source['jsonData.dbName'], epoch: 'ms' });
    const init = { method: 'POST', headers, body: new URLSearchParams({ q }) };
    const response = await fetch(`${source.url}/query?${search}`, init);
    const reply = await response.json();
    assert.equal(response.status, 200, JSON.stringify(reply));
    assert.equal(reply.results[0].error, undefined);
    return reply.results[0].series ?? [];
  };
}
