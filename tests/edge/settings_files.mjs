// Reads the settings files of Telegraf, Grafana and Prometheus. Simulates these programs to the
// extent that the examples need, because they are not installed.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { parse as toml } from 'smol-toml';
import { parse as yaml } from 'yaml';

import { TelegrafV1, TelegrafV2 } from './telegraf_outputs.mjs';

/** Telegraf and Grafana replace `${NAME}` and `$NAME` with environment variables. */
const filled = (text, env) =>
  text.replace(/\$\{(\w+)\}|\$(\w+)/g, (whole, braced, bare) => {
    const name = braced ?? bare;
    assert.ok(name in env, `${name} is not in the environment of the test`);
    return env[name];
  });

/** Telegraf's tables that the examples may contain, each with the permitted settings. */
const known = {
  agent: ['interval', 'flush_interval', 'metric_batch_size', 'metric_buffer_limit'],
  'outputs.influxdb_v2': ['urls', 'token', 'organization', 'bucket'],
  'outputs.influxdb': ['urls', 'database', 'username', 'password', 'skip_database_creation'],
};

/** Tables of plugins are lists, so a name may occur several times. */
function tablesOf(text, env) {
  return Object.entries(toml(filled(text, env))).flatMap(([name, given]) => {
    if (name === 'agent') return [[name, given]];
    const plugins = Object.entries(given);
    return plugins.flatMap(([plugin, all]) => all.map((settings) => [`${name}.${plugin}`, settings]));
  });
}

export function telegrafOutput(text, env) {
  const tables = tablesOf(text, env);
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

/**
 * Returns a function `ask(q)` that resolves to the series. Like Grafana's InfluxQL mode, it sends a
 * POST request with database, epoch and query, and with the headers from the file.
 */
export function grafanaAsks(text, env) {
  const { apiVersion, datasources } = yaml(filled(text, env));
  assert.equal(apiVersion, 1);
  const [{ type, access, url, jsonData, secureJsonData }] = datasources;
  assert.deepEqual(
    [type, access, jsonData.version, jsonData.httpMode],
    ['influxdb', 'proxy', 'InfluxQL', 'POST'],
  );
  const headers = { [jsonData.httpHeaderName1]: secureJsonData.httpHeaderValue1 };
  return async (q) => {
    const search = new URLSearchParams({ db: jsonData.dbName, epoch: 'ms' });
    const init = { method: 'POST', headers, body: new URLSearchParams({ q }) };
    const response = await fetch(`${url}/query?${search}`, init);
    const reply = await response.json();
    assert.equal(response.status, 200, JSON.stringify(reply));
    assert.equal(reply.results[0].error, undefined);
    return reply.results[0].series ?? [];
  };
}

/** Returns the address, and the calls in the format of flight_recorded.mjs. */
export function grafanaAsksSql(text, env) {
  const [{ type, access, url, jsonData, secureJsonData }] = yaml(filled(text, env)).datasources;
  assert.deepEqual([type, access, jsonData.version, jsonData.insecureGrpc], ['influxdb', 'proxy', 'SQL', true]);
  const { host, protocol } = new URL(url);
  assert.equal(protocol, 'http:');
  const tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'iox' ORDER BY table_name";
  const calls = [
    `: authorization: Bearer ${secureJsonData.token}`,
    `: database: ${jsonData.dbName}`,
    '> GetFlightInfo',
    `= command CommandStatementQuery ${JSON.stringify({ 1: tables })}`,
    '< info ["table_name"]',
    '> DoGet',
    '= ticket @endpoint',
    '< column table_name ["cpu"]',
  ];
  return { address: host, calls: calls.join('\n') };
}

/** `said` is the output of Java without the driver, and contains the address. */
export function jdbcAsks(source, said) {
  const [, address, options] = /jdbc:arrow-flight-sql:\/\/([^?\s]+)\?(\S+)/.exec(said) ?? [];
  const { useEncryption, token, ...metadata } = Object.fromEntries(new URLSearchParams(options));
  assert.equal(useEncryption, 'false');
  const [, q] = /prepareStatement\("([^"]+)"\)/.exec(source);
  const [, value] = /setString\(1, "([^"]+)"\)/.exec(source);
  const calls = [
    `: authorization: Bearer ${token}`,
    ...Object.entries(metadata).map(([name, text]) => `: ${name}: ${text}`),
    '> Handshake',
    '= nothing',
    '> DoAction',
    `= action CreatePreparedStatement ActionCreatePreparedStatementRequest ${JSON.stringify({ 1: q })}`,
    '< prepared [["time","level"],["$1"]]',
    '> DoPut',
    `= put CommandPreparedStatementQuery ${JSON.stringify({ $1: [value] })}`,
    '< handle',
    '> GetFlightInfo',
    '= command CommandPreparedStatementQuery {"1":"@handle"}',
    '< info ["time","level"]',
    '> DoGet',
    '= ticket @endpoint',
    '< column level [1.5,2.5,3.5]',
    '< said',
  ];
  return { address, calls: calls.join('\n') };
}

/** `url` and `token` replace the address and the token file. Returns texts by `instance`. */
export async function prometheusScrapes(text, { url, token }) {
  const { scrape_configs, rule_files } = yaml(text);
  assert.deepEqual(rule_files, ['alerts.yml']);
  const [{ scheme, authorization, http_sd_configs }] = scrape_configs;
  const bearer = (given) => {
    assert.deepEqual(given, { credentials_file: 'tidemark_token' });
    return { Authorization: `Bearer ${token}` };
  };
  const [{ url: list, authorization: listed }] = http_sd_configs;
  const found = await fetch(new URL(new URL(list).pathname, url), { headers: bearer(listed) });
  const accept = 'application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3';
  const scraped = {};
  for (const { targets, labels } of await found.json()) {
    const { __metrics_path__: path, __param_db: db, instance } = labels;
    assert.equal(targets.length, 1);
    const address = `${scheme}://${targets[0]}${path}?${new URLSearchParams({ db })}`;
    const response = await fetch(address, { headers: { ...bearer(authorization), Accept: accept } });
    assert.equal(response.status, 200, address);
    scraped[instance] = await response.text();
  }
  return scraped;
}

/** Returns the label names of each metric. */
export function metricsIn(scraped) {
  const found = new Map();
  for (const [, name, labels] of scraped.matchAll(/^(\w+)\{(.*)\} \S+$/gm)) {
    const known = found.get(name) ?? new Set();
    for (const [, label] of labels.matchAll(/(\w+)="/g)) known.add(label);
    found.set(name, known);
  }
  return found;
}

/** Includes the queries of the dashboard's variables. */
export function dashboardAsks(text) {
  const { panels, templating } = JSON.parse(text);
  const variables = templating.list.filter(({ type }) => type === 'query');
  const asks = panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr, legendFormat }) => ({ title, expr, legend: legendFormat })));
  return [...asks, ...variables.map(({ name, definition }) => ({ title: name, expr: definition, legend: '' }))];
}

/** Replaces the variables like Grafana for the last hour and every host. */
export function dashboardStatements(text) {
  const { panels, templating } = JSON.parse(text);
  const filledIn = (q) => q
    .replaceAll('$timeFilter', 'time >= now() - 1h and time <= now()')
    .replaceAll('$__interval', '10s')
    .replaceAll('$host', '.*');
  const variables = templating.list.filter(({ type }) => type === 'query');
  return [
    ...panels.flatMap(({ title, targets }) => targets.map(({ query }) => ({ title, q: filledIn(query) }))),
    ...variables.map(({ name, query }) => ({ title: name, q: filledIn(query) })),
  ];
}

/** Each mounted file must exist, and each variable must have a value in `env`. */
export function composeServices(text, folder, env) {
  const { services, volumes } = yaml(text.replace(/:\?[^}]*\}/g, '}').replace(/\$\{(\w+)\}/g, (whole, name) => {
    assert.ok(name in env, `${name} is not in the environment of the test`);
    return env[name];
  }));
  for (const [name, service] of Object.entries(services)) {
    for (const mount of service.volumes ?? []) {
      const [from] = mount.split(':');
      const isThere = from.startsWith('.') ? existsSync(join(folder, from)) : from in volumes;
      assert.ok(isThere, `${name}: ${mount}`);
    }
    for (const one of service.depends_on ?? []) assert.ok(one in services, `${name}: ${one}`);
  }
  return services;
}
