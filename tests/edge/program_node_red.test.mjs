// Tests Node-RED with node-red-contrib-influxdb: writes with v1 and v2, and queries with v1.

import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { freePort } from '../../scripts/dev-server.mjs';
import { at, npm } from '../../scripts/project.mjs';
import { databaseToken, PlainWorkerd, temporaryFolder, tidemark } from './harness.mjs';
import { isInstalled, quietly, startProgram } from './program.mjs';

const sources = ['package.json', 'package-lock.json'].map((name) => `tests/edge/node_red/${name}`);
const folder = at('.cache', 'node-red');
const nodeRed = join(folder, 'node_modules', 'node-red', 'red.js');

const hasNodeRed = (t) =>
  isInstalled(t, 'Node-RED', {
    stamp: '.cache/stamps/node-red',
    inputs: sources,
    outputs: [nodeRed],
    work: async () => {
      rmSync(folder, { recursive: true, force: true });
      mkdirSync(folder, { recursive: true });
      for (const source of sources) copyFileSync(at(source), join(folder, source.split('/').at(-1)));
      const [command, first] = npm();
      const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel', 'error'];
      await quietly(command, [...first, 'ci', '--prefix', folder, ...flags]);
    },
  });

const tab = 'tab';

/**
 * Returns a flow that passes the properties of an HTTP request's body to the node. The flow
 * responds with the payload that the node returns, or with status 500 and the node's error.
 */
function route(name, { writes, ...node }) {
  const [listen, set, respond, done, failed, text] =
    ['listen', 'set', 'respond', 'done', 'failed', 'text'].map((part) => `${name}-${part}`);
  const rules = [
    { t: 'set', p: 'statusCode', pt: 'msg', to: '500', tot: 'num' },
    { t: 'set', p: 'payload', pt: 'msg', to: 'error.message', tot: 'msg' },
  ];
  const nodes = [
    { id: listen, type: 'http in', url: `/${name}`, method: 'post', wires: [[set]] },
    { id: set, type: 'function', func: 'return { ...msg, ...msg.payload };', outputs: 1, wires: [[name]] },
    { id: name, ...node, wires: writes ? [] : [[respond]] },
    // A node that writes has no output.
    ...(writes ? [{ id: done, type: 'complete', scope: [name], wires: [[respond]] }] : []),
    { id: failed, type: 'catch', scope: [name], wires: [[text]] },
    { id: text, type: 'change', rules, wires: [[respond]] },
    { id: respond, type: 'http response', wires: [] },
  ];
  return nodes.map((each) => ({ ...each, z: tab }));
}

async function startNodeRed(t, server) {
  const home = temporaryFolder(t);
  const port = await freePort();
  const { hostname, port: serverPort } = new URL(server.url);
  const v1 = {
    id: 'server-v1', type: 'influxdb', influxdbVersion: '1.x', hostname, port: serverPort, database: 'v1',
    usetls: false,
  };
  const v2 = {
    id: 'server-v2', type: 'influxdb', influxdbVersion: '2.0', url: server.url, rejectUnauthorized: true,
  };
  const at2 = { influxdb: v2.id, org: 'any', bucket: 'v2', precisionV18FluxV20: 'ms', writes: true };
  const flows = [
    { id: tab, type: 'tab', label: 'Tidemark' },
    v1,
    v2,
    ...route('v1-out', { type: 'influxdb out', influxdb: v1.id, writes: true }),
    ...route('v1-batch', { type: 'influxdb batch', influxdb: v1.id, writes: true }),
    ...route('v1-in', { type: 'influxdb in', influxdb: v1.id }),
    ...route('v2-out', { type: 'influxdb out', ...at2 }),
    ...route('v2-batch', { type: 'influxdb batch', ...at2 }),
  ];
  const credentials = {
    [v1.id]: { username: 'any', password: await databaseToken(server, 'v1') },
    [v2.id]: { token: await databaseToken(server, 'v2') },
  };
  const settings = {
    flowFile: 'flows.json', credentialSecret: false, uiHost: '127.0.0.1', uiPort: port, httpAdminRoot: false,
    telemetry: { enabled: false }, externalModules: { autoInstall: false },
  };
  writeFileSync(join(home, 'flows.json'), JSON.stringify(flows));
  writeFileSync(join(home, 'flows_cred.json'), JSON.stringify(credentials));
  writeFileSync(join(home, 'settings.js'), `module.exports = ${JSON.stringify(settings)};\n`);
  const program = startProgram(t, process.execPath, [nodeRed, '--userDir', home], { cwd: home });
  await program.until('started flows', () => program.log.includes('Started flows') || undefined);
  return { program, url: `http://127.0.0.1:${port}` };
}

/** Resolves to the JSON of the response, or for an error to `{ status, text }`. */
async function post(url, message) {
  const headers = { 'Content-Type': 'application/json' };
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(message) });
  const text = await response.text();
  return response.status === 200 ? JSON.parse(text) : { status: response.status, text };
}

const ms = 1_700_000_000_123;

/** Each point is an array of the fields and the tags. */
const points = [
  [{ temp: 21.5, count: '7i', ok: true, text: 'say "hi", ünïcode', time: ms }, { place: 'a, b=c d' }],
  [{ temp: 22, time: ms + 1 }, { place: 'hall' }],
];
const rows = [[ms, 7, true, 'a, b=c d', 21.5, 'say "hi", ünïcode'], [ms + 1, null, null, 'hall', 22, null]];
const batch = [{ measurement: 'a', fields: { v: 1 }, tags: { t: 'x' }, timestamp: ms }, { measurement: 'b', fields: { v: 2 } }];
const conflict = { measurement: 'room', payload: { ok: 'text' } };

test('Node-RED writes and queries with v1, and writes with v2', async (t) => {
  if (!(await hasNodeRed(t))) return;
  const server = await tidemark(t, {}, PlainWorkerd);
  for (const name of ['v1', 'v2']) await server.query(`CREATE DATABASE ${name}`);
  await server.query('CREATE RETENTION POLICY long ON v1 DURATION INF REPLICATION 1');
  const { program, url } = await startNodeRed(t, server);
  const send = async (name, message) => assert.deepEqual(await post(`${url}/${name}`, message), message.payload);
  const query = (text) => post(`${url}/v1-in`, { query: text });
  const stored = (db, q) => server.rows(q, { db, epoch: 'ms' });

  for (const version of ['v1', 'v2']) {
    await t.test(`writes with ${version}`, async () => {
      await send(`${version}-out`, { measurement: 'room', precision: 'ms', payload: points });
      assert.deepEqual(await stored(version, 'SELECT * FROM room'), rows);
      await send(`${version}-out`, { measurement: 'value', payload: 5 });
      assert.deepEqual((await stored(version, 'SELECT value FROM value')).map(([, value]) => value), [5]);
      await send(`${version}-batch`, { precision: 'ms', payload: batch });
      assert.deepEqual(await stored(version, 'SELECT * FROM a'), [[ms, 'x', 1]]);
      assert.deepEqual((await stored(version, 'SELECT v FROM b')).map(([, value]) => value), [2]);
    });
  }

  await t.test('writes to a retention policy with v1', async () => {
    await send('v1-out', { measurement: 'kept', retentionPolicy: 'long', payload: { value: 5 } });
    assert.deepEqual((await stored('v1', 'SELECT value FROM long.kept')).map(([, value]) => value), [5]);
    assert.deepEqual(await stored('v1', 'SELECT value FROM kept'), []);
  });

  await t.test('queries with v1', async () => {
    assert.deepEqual(await query('SELECT temp, count, text, place FROM room; SELECT * FROM a'), [
      rows.map(([time, count, , place, temp, text]) => ({ time: new Date(time).toISOString(), temp, count, text, place })),
      [{ time: new Date(ms).toISOString(), t: 'x', v: 1 }],
    ]);
    const places = ['a, b=c d', 'hall'].map((value) => ({ key: 'place', value }));
    assert.deepEqual(await query('SHOW TAG VALUES WITH KEY = place'), places);
    assert.deepEqual(await query('SELECT * FROM absent'), []);
    // The node sends every statement with GET.
    assert.deepEqual(await query('DROP SERIES FROM a'), []);
    assert.deepEqual(await stored('v1', 'SELECT * FROM a'), []);
  });

  assert.doesNotMatch(program.log, /error/i);
  await t.test('shows the text of an error', async () => {
    const { status, text } = await query('SELECT * FROM');
    assert.equal(status, 500);
    assert.match(text, /error parsing query: found EOF, expected identifier at line 1, char 15/);
    for (const version of ['v1', 'v2']) {
      const failed = await post(`${url}/${version}-out`, conflict);
      assert.equal(failed.status, 500);
      assert.match(failed.text, /field type conflict: input field \\?"ok\\?"/);
    }
  });
});
