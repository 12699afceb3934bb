// Tests `tidemark deploy` at a terminal and through pipes. It runs the real wrangler with a
// stand-in for Cloudflare's API.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { locationsIn } from '../../packages/tidemark/lib/deploy.mjs';
import { planSettings } from '../../packages/tidemark/lib/wrangler_configuration.mjs';
import { stagedPackage } from '../../scripts/package.mjs';
import { at, newNode, wrangler } from '../../scripts/project.mjs';
import { callObject } from '../../src/runtime.js';
import { cloudflareAccount } from './cloudflare_api.mjs';
import { has, temporaryFolder } from './harness.mjs';

/** The maximum time of one run on a busy machine. */
const runMs = 60_000;

const token = 'a-token-of-24-characters';

const staged = await stagedPackage();
const large = (folder) => ['index_bg.wasm', 'site', 'sql'].map((name) => join(folder, 'built', name));
const emptyModule = Buffer.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);

/**
 * The folder contains the package, and an `npx` that runs this repository's wrangler. Each run would hash and send the
 * large files of the package, so small files replace them. package.test.mjs tests a dry run with the large files.
 */
function place(t, { hasSql = false } = {}) {
  const folder = temporaryFolder(t);
  const programs = join(folder, 'programs');
  mkdirSync(programs);
  symlinkSync(newNode(), join(programs, 'node'));
  writeFileSync(join(programs, 'npx'), `#!/bin/sh\nshift 2\nexec '${newNode()}' '${wrangler}' "$@"\n`, { mode: 0o755 });
  const install = join(folder, 'package');
  cpSync(staged, install, { recursive: true, filter: (path) => !large(staged).includes(path) });
  const [module, site, sql] = large(install);
  writeFileSync(module, emptyModule);
  mkdirSync(site);
  writeFileSync(join(site, 'index.html'), '<!doctype html><title>Tidemark</title>\n');
  if (hasSql) {
    mkdirSync(sql);
    writeFileSync(join(sql, 'index.js'), 'export default { fetch() { return new Response("sql"); } };\n');
  }
  return { folder, programs, program: join(install, 'bin', 'tidemark.mjs') };
}

function environment({ folder, programs }, api, env) {
  const kept = { PATH: `${programs}:${process.env.PATH}`, HOME: folder, XDG_CONFIG_HOME: join(folder, 'config'), TERM: 'dumb' };
  const own = { CLOUDFLARE_API_BASE_URL: api.url, CLOUDFLARE_API_TOKEN: 'an-api-token', ADMIN_TOKEN: token };
  const quiet = { WRANGLER_SEND_METRICS: 'false', WRANGLER_SEND_ERROR_REPORTS: 'false', NO_COLOR: '1', CI: 'false' };
  const fast = { NODE_COMPILE_CACHE: at('.cache', 'node') };
  return Object.fromEntries(Object.entries({ ...kept, ...own, ...quiet, ...fast, ...env }).filter(([, value]) => value !== null));
}

function deployed(its, api, words, { env = {}, keys = null } = {}) {
  const line = [its.program, 'deploy', ...words];
  const options = { cwd: its.folder, env: environment(its, api, env) };
  const isTerminal = keys !== null;
  const command = `'${newNode()}' ${line.map((word) => `'${word}'`).join(' ')}`;
  const child = isTerminal
    ? spawn('script', ['-qfec', command, '/dev/null'], options)
    : spawn(newNode(), line, options);
  const late = setTimeout(() => child.kill('SIGKILL'), runMs);
  let text = '';
  const left = [...(keys ?? [])];
  const take = (piece) => {
    text += piece;
    if (left.length > 0 && left[0][0].test(text)) child.stdin.write(left.shift()[1]);
  };
  child.stdout.on('data', take);
  child.stderr.on('data', take);
  if (!isTerminal) child.stdin.end();
  return new Promise((resolve) =>
    child.once('close', (code) => {
      clearTimeout(late);
      resolve({ code, text });
    }));
}

const uploads = ({ calls }) => calls.filter((call) => /^PUT .*scripts\/[\w-]+$|^POST .*versions$/.test(call));
const bindingOf = (api, name, binding) => api.scripts.get(name).bindings.find((one) => one.name === binding);

test('the first version includes the secret, and later versions keep the settings of the dashboard', async (t) => {
  const [api, its] = [await cloudflareAccount(t), place(t, { hasSql: true })];
  const first = await deployed(its, api, []);
  assert.equal(first.code, 0, first.text);
  assert.equal(bindingOf(api, 'tidemark', 'ADMIN_TOKEN').text, token);
  assert.equal(bindingOf(api, 'tidemark', 'SQL').service, 'tidemark-sql');
  assert.doesNotMatch(first.text, new RegExp(token));
  assert.match(first.text, /secret put ADMIN_TOKEN --name tidemark/);
  const { versions: [version] } = api.scripts.get('tidemark');
  assert.deepEqual(version.metadata.limits, { cpu_ms: 300_000 });
  version.bindings.push(
    { type: 'plain_text', name: 'LOG_REQUESTS', text: 'errors' },
    { type: 'r2_bucket', name: 'BACKUPS', bucket_name: 'mine' },
  );
  api.scripts.get('tidemark').isWorkersDev = false;

  // The package now has no SQL, and the environment no longer contains the token.
  rmSync(join(its.folder, 'package', 'built', 'sql'), { recursive: true });
  const second = await deployed(its, api, ['--var', 'AUTO_CREATE_RETENTION=30d'], { env: { ADMIN_TOKEN: null } });
  assert.equal(second.code, 0, second.text);
  const kept = ['ADMIN_TOKEN', 'LOG_REQUESTS', 'BACKUPS', 'SQL', 'AUTO_CREATE_RETENTION'].map((name) => bindingOf(api, 'tidemark', name));
  assert.deepEqual(kept.map((one) => one?.text ?? one?.bucket_name ?? one?.service), [token, 'errors', 'mine', 'tidemark-sql', '30d']);
  assert.equal(api.scripts.get('tidemark').isWorkersDev, false);
});

test('without a terminal, the program lists all missing settings before the upload', async (t) => {
  const [api, its] = [await cloudflareAccount(t), place(t)];
  const refused = async (pattern, env) => {
    const { code, text } = await deployed(its, api, [], { env });
    assert.deepEqual([code, uploads(api)], [1, []], text);
    assert.match(text, pattern);
  };
  await refused(/^The login needs a terminal\. Without a terminal set CLOUDFLARE_API_TOKEN .*CLOUDFLARE_ACCOUNT_ID .*ADMIN_TOKEN/m, { CLOUDFLARE_API_TOKEN: null });
  await refused(/^ADMIN_TOKEN is not set, and a generated token would stay in the log/m, { ADMIN_TOKEN: null });
  await refused(/^ADMIN_TOKEN has 5 characters/m, { ADMIN_TOKEN: 'short' });
  api.accounts.push({ id: 'another', name: 'theirs' });
  await refused(/^The token can use several accounts: set CLOUDFLARE_ACCOUNT_ID to one of them: an-account \(mine\), another \(theirs\)/m);
  api.subdomain = null;
  await refused(/^This account has no workers\.dev subdomain \(10007\): /m, { CLOUDFLARE_ACCOUNT_ID: 'an-account' });
});

test('without a connection, the program names the setting for a proxy', async (t) => {
  const its = place(t);
  const nowhere = { url: 'http://127.0.0.1:1' };
  const direct = await deployed(its, nowhere, [], { env: { HTTPS_PROXY: null, https_proxy: null } });
  assert.match(direct.text, /^Cloudflare's API cannot be reached .*: check the network connection and retry\.$/m);
  const behind = await deployed(its, nowhere, [], { env: { HTTPS_PROXY: 'http://127.0.0.1:2' } });
  assert.equal(behind.code, 1, behind.text);
  assert.match(behind.text, /retry\. To use the proxy in HTTPS_PROXY, set NODE_USE_ENV_PROXY=1 \(Node 22\.21 or newer\)\.$/m);
});

test('a Worker of another program is not replaced', async (t) => {
  const [api, its] = [await cloudflareAccount(t), place(t)];
  assert.equal((await deployed(its, api, [])).code, 0);
  const { versions } = api.scripts.get('tidemark');
  versions[0].bindings = [{ type: 'plain_text', name: 'GREETING', text: 'hello' }];
  const { code, text } = await deployed(its, api, []);
  assert.deepEqual([code, versions.length], [1, 1], text);
  assert.match(text, /^The account has a Worker tidemark that is not a deployment of Tidemark: choose another name with --name/m);
  const other = await deployed(its, api, ['--name', 'metrics']);
  assert.equal(other.code, 0, other.text);
});

test('at a terminal the program asks for the account, wrangler registers a subdomain, and a token is created', async (t) => {
  if (!has(t, 'script')) return;
  const [api, its] = [await cloudflareAccount(t), place(t)];
  api.accounts.unshift({ id: 'another', name: 'theirs' });
  api.subdomain = null;
  const keys = [
    [/Which one\? \[1-2\] /, '2\r'],
    [/register a workers\.dev subdomain now\?/, 'y\r'],
    [/What would you like your workers\.dev subdomain to be\?/, 'brand-new\r'],
    [/Ok to proceed\?/, 'y\r'],
  ];
  const { code, text } = await deployed(its, api, [], { env: { ADMIN_TOKEN: null }, keys });
  assert.equal(code, 0, text);
  assert.match(api.subdomain, /^brand-new/);
  const [, made] = /The admin token of tidemark, shown once: ([0-9a-f]{32})/.exec(text) ?? [];
  assert.equal(bindingOf(api, 'tidemark', 'ADMIN_TOKEN').text, made, text);
});

test('a generated token is shown even if the calls after the upload fail', async (t) => {
  if (!has(t, 'script')) return;
  const [api, its] = [await cloudflareAccount(t), place(t)];
  api.refuses = () => {
    Object.defineProperty(api, 'accounts', { get: () => { throw new Error('the API is down'); } });
    return null;
  };
  const { code, text } = await deployed(its, api, [], { env: { ADMIN_TOKEN: null }, keys: [] });
  assert.equal(code, 1, text);
  const [, made] = /The admin token of tidemark, shown once: ([0-9a-f]{32})/.exec(text) ?? [];
  assert.equal(bindingOf(api, 'tidemark', 'ADMIN_TOKEN').text, made, text);
});

test('each error of the platform is shown with the next step', async (t) => {
  const [api, its] = [await cloudflareAccount(t), place(t, { hasSql: true })];
  for (const [code, step] of [
    [10_027, /^tidemark-sql is larger than the account's plan allows \(10027\): .*--without-sql/m],
    [10_021, /^Cloudflare rejected tidemark-sql while starting it \(10021\): /m],
    [10_063, /^This account has no workers\.dev subdomain/m],
    [10_034, /^The e-mail address of your Cloudflare account is not verified \(10034\): /m],
    [10_042, /^R2 is not enabled for this account \(10042\): /m],
    [10_083, /^The account has no zone for the host name of --domain \(10083\): /m],
    [10_085, /^The R2 bucket for backups does not exist \(10085\): create it with npx wrangler@.* r2 bucket create/m],
  ]) {
    api.refuses = () => [code, 'Script startup exceeded CPU time limit.'];
    const { code: status, text } = await deployed(its, api, []);
    assert.equal(status, 1, text);
    assert.match(text, step);
  }
});

test('the free plan has smaller shards, no configured limits and no SQL, and a later paid plan has other sizes', async (t) => {
  const [api, its] = [await cloudflareAccount(t), place(t, { hasSql: true })];
  api.refuses = (_, { limits }) => (limits ? [100_328, 'CPU limits are not supported for the Free plan.'] : null);
  const first = await deployed(its, api, []);
  assert.equal(first.code, 0, first.text);
  assert.match(first.text, /SQL is not deployed: planning a statement takes more than the 10 ms of CPU time of the free plan/);
  assert.deepEqual([...api.scripts.keys()], ['tidemark']);
  const sizes = () => ['SHARD_SPLIT_BYTES', 'SHARD_FULL_BYTES', 'CALLS_PER_REQUEST_MAX'].map((name) => bindingOf(api, 'tidemark', name)?.text);
  assert.deepEqual(sizes(), ['200000000', '400000000', '1000']);
  assert.equal(bindingOf(api, 'tidemark', 'ADMIN_TOKEN').text, token);

  const gradual = await deployed(its, api, ['--gradual', '10']);
  assert.equal(gradual.code, 0, gradual.text);
  assert.equal(api.scripts.get('tidemark').deployments.at(-1).versions.length, 2);

  api.refuses = () => null;
  bindingOf(api, 'tidemark', 'SHARD_FULL_BYTES').text = '500000000';
  const paid = await deployed(its, api, []);
  assert.equal(paid.code, 0, paid.text);
  assert.deepEqual(sizes(), ['4000000000', '500000000', '10000'], 'the value that was set by hand stays');
});

test('an upgrade is gradual, keeps its configuration, and can be rolled back', async (t) => {
  const [api, its] = [await cloudflareAccount(t), place(t, { hasSql: true })];
  const must = async (...words) => {
    const { code, text } = await deployed(its, api, words);
    assert.equal(code, 0, text);
    return text;
  };
  await must();
  const script = api.scripts.get('tidemark');
  const shares = () => Object.fromEntries(script.deployments.at(-1).versions.map(({ version_id: id, percentage }) => [Number(id.slice(-12)), percentage]));
  assert.match(await must('--gradual', '10', '--backups', 'our-backups'), /To continue the upgrade, use --gradual 50\. To end it, use --rollback/);
  assert.deepEqual(shares(), { 2: 10, 1: 90 });
  assert.equal(bindingOf(api, 'tidemark', 'SQL').service, 'tidemark-sql');
  assert.equal(bindingOf(api, 'tidemark', 'BACKUPS').bucket_name, 'our-backups');
  assert.equal(bindingOf(api, 'tidemark', 'ADMIN_TOKEN').text, token);
  const { length } = uploads(api);
  assert.match(await must('--gradual', '50'), /is running: the command changes only the share of the new version/);
  assert.deepEqual(shares(), { 2: 50, 1: 50 });
  await must('--rollback');
  assert.deepEqual(shares(), { 1: 100 });
  assert.equal(uploads(api).length, length, 'nothing is uploaded again');
  await must('--gradual', '100');
  assert.deepEqual(shares(), { 3: 100 });
  script.hasNewSecret = true;
  const { code, text } = await deployed(its, api, ['--rollback']);
  assert.equal(code, 1, text);
  assert.match(text, /^A secret has changed since the earlier version, .*\(10220\): deploy the earlier release again/m);
  script.hasNewSecret = false;
  await must('--rollback');
  assert.deepEqual(shares(), { 1: 100 });
});

test('a file configures several environments, which do not affect each other', async (t) => {
  const [api, its] = [await cloudflareAccount(t), place(t, { hasSql: true })];
  const file = join(its.folder, 'tidemark.deploy.json');
  const write = (value) => writeFileSync(file, JSON.stringify(value));
  write({
    $schema: './package/deploy.schema.json',
    name: 'metrics',
    backups: 'production-backups',
    placement: 'smart',
    vars: { AUTO_CREATE_RETENTION: '30d' },
    wrangler: { observability: { enabled: false } },
    environments: { staging: { backups: 'staging-backups', vars: { LOG_REQUESTS: 'all' } } },
  });
  const dry = await deployed(its, api, ['--dry-run', '--env', 'staging']);
  assert.equal(dry.code, 0, dry.text);
  assert.doesNotMatch(dry.text, /warning/i);
  assert.deepEqual(api.calls, []);
  const staging = await deployed(its, api, ['--env', 'staging']);
  assert.equal(staging.code, 0, staging.text);
  assert.deepEqual([...api.scripts.keys()].sort(), ['metrics-staging', 'metrics-staging-sql']);
  const { metadata } = api.scripts.get('metrics-staging').versions[0];
  assert.deepEqual([metadata.placement, metadata.observability.enabled], [{ mode: 'smart' }, false]);
  const values = ['BACKUPS', 'AUTO_CREATE_RETENTION', 'LOG_REQUESTS', 'SQL'].map((name) => bindingOf(api, 'metrics-staging', name));
  assert.deepEqual(values.map((one) => one.bucket_name ?? one.text ?? one.service), ['staging-backups', '30d', 'all', 'metrics-staging-sql']);

  for (const [value, message] of [
    [{ backup: 'b' }, /tidemark\.deploy\.json: backup is unknown: choose one of .*backups/],
    [{ vars: { LOG: 'all' } }, /vars\.LOG is not a setting/],
    [{ vars: { ADMIN_TOKEN: token } }, /vars\.ADMIN_TOKEN is a secret/],
    [{ environments: { staging: { name: 'A B' } } }, /environments\.staging\.name is "A B": it has to match/],
  ]) {
    write(value);
    const { code, text } = await deployed(its, api, ['--dry-run']);
    assert.equal(code, 1, text);
    assert.match(text, message);
  }
});

test('a deployment has a location, and its jurisdiction cannot be changed', async (t) => {
  const [api, its] = [await cloudflareAccount(t), place(t, { hasSql: false })];
  const file = join(its.folder, 'tidemark.deploy.json');
  writeFileSync(file, JSON.stringify({ location: 'weur', jurisdiction: 'eu', environments: { us: { jurisdiction: 'us' } } }));
  const must = async (...words) => {
    const { code, text } = await deployed(its, api, words);
    assert.equal(code, 0, text);
    return (name, of = 'tidemark') => bindingOf(api, of, name)?.text;
  };
  const first = await must();
  assert.deepEqual([first('DEFAULT_LOCATION'), first('JURISDICTION')], ['weur', 'eu']);
  const second = await must('--env', 'us', '--location', 'enam');
  assert.deepEqual([second('DEFAULT_LOCATION', 'tidemark-us'), second('JURISDICTION', 'tidemark-us')], ['enam', 'us']);
  for (const words of [['--jurisdiction', 'us'], ['--var', 'JURISDICTION=us'], ['--var', 'JURISDICTION=']]) {
    const { code, text } = await deployed(its, api, words);
    assert.equal(code, 1, text);
    assert.match(text, /The jurisdiction of a deployment cannot change: it is eu/);
  }
  writeFileSync(file, JSON.stringify({ jurisdiction: 'eu', wrangler: { vars: { JURISDICTION: 'us' } } }));
  const hidden = await deployed(its, api, []);
  assert.equal(hidden.code, 1, hidden.text);
  assert.match(hidden.text, /The jurisdiction of a deployment cannot change: it is eu/);
  writeFileSync(file, '{}');
  const outside = await deployed(its, api, ['--location', 'oc']);
  assert.equal(outside.code, 1, outside.text);
  assert.match(outside.text, /The location oc is outside of the jurisdiction eu: choose weur or eeur, or no location/);
  const { code, text } = await deployed(its, api, ['--location', 'mars']);
  assert.equal(code, 1, text);
  assert.match(text, /location is "mars": it has to be wnam or/);
  assert.equal((await must())('JURISDICTION'), 'eu', 'a later deployment without the key keeps it');
});

test('the program and the server accept the same locations for each jurisdiction', () => {
  const source = readFileSync(at('crates', 'engine', 'src', 'protocol', 'database.rs'), 'utf8');
  const [, body] = /pub fn is_inside\(.*?\{\n(.*?)\n\}/s.exec(source);
  const names = (text) => [...text.matchAll(/"([\w-]+)"/g)].map(([, name]) => name);
  const rows = [...body.matchAll(/Some\((.*?)\) => matches!\(location, (.*?)\)/g)];
  const pairs = rows.flatMap(([, jurisdictions, locations]) => names(jurisdictions).map((name) => [name, names(locations)]));
  assert.deepEqual(Object.fromEntries(pairs), locationsIn);
  const { properties } = JSON.parse(readFileSync(at('packages', 'tidemark', 'deploy.schema.json'), 'utf8'));
  const hints = readFileSync(at('crates', 'server', 'src', 'location_hint.rs'), 'utf8');
  const list = (name) => names(new RegExp(`pub const ${name}: .*? = &\\[(.*?)\\];`, 's').exec(hints)[1]);
  assert.deepEqual([properties.location.enum, properties.jurisdiction.enum], [list('LOCATIONS'), list('JURISDICTIONS')]);
  assert.deepEqual(Object.keys(locationsIn), list('JURISDICTIONS'));
});

test('the Catalog is in the jurisdiction, and the first call contains the location', async () => {
  const asked = [];
  const namespace = (jurisdiction) => ({
    jurisdiction: (name) => namespace(name),
    idFromName: (name) => `${jurisdiction ?? 'none'}:${name}`,
    idFromString: (text) => text,
    get: (id, options) => (asked.push([id, options?.locationHint]), { answer: async () => new Uint8Array(1) }),
  });
  const message = () => new Uint8Array(1);
  await callObject(namespace(), 'catalog', true, 'weur', 'eu', message());
  await callObject(namespace(), 'an-id', false, undefined, undefined, message());
  assert.deepEqual(asked, [['eu:catalog', 'weur'], ['an-id', undefined]]);
});

test('the sizes for the free plan leave enough space for a merge', () => {
  const [, merge] = /^const BYTES_MAX: u64 = ([\d_]+);$/m.exec(readFileSync(at('crates', 'engine', 'src', 'shard', 'compact', 'choose', 'mod.rs'), 'utf8'));
  const [split, full] = [planSettings.free.SHARD_SPLIT_BYTES, planSettings.free.SHARD_FULL_BYTES].map(Number);
  assert.ok(full + Number(merge.replaceAll('_', '')) <= 1_000_000_000);
  // A split copies one half of a shard before it deletes this half from the shard.
  assert.ok(split * 2 <= full);
});
