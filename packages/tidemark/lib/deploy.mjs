// Deploys to a Cloudflare account: checks the account, generates the configuration, uploads with
// wrangler, and runs gradual upgrades and rollbacks.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';

import { checked, newToken } from './admin_token.mjs';
import { Account } from './cloudflare.mjs';
import { UserError } from './command.mjs';
import { databaseConfiguration, sqlConfiguration } from './wrangler_configuration.mjs';
import { isInteractive, nextStep, refusesLimits, runWrangler, subdomainStep } from './wrangler.mjs';

/**
 * The origin of a deployment's code.
 *
 * @typedef {object} Source
 * @property {Record<string, any>} base wrangler's committed configuration, with absolute paths
 * @property {() => Promise<string[]>} wrangler the command that runs wrangler, and its first
 *   arguments
 * @property {() => Promise<string | null>} build builds the modules; resolves to the SQL Worker's
 *   main module, or null
 * @property {string} hint the command with which users run `wrangler`, for messages
 */

const nothingRemote = { isThere: false, hasToken: false, isWorkersDev: undefined, bindings: [] };

function environmentCredentials() {
  const { CLOUDFLARE_API_TOKEN: token, CLOUDFLARE_API_KEY: key, CLOUDFLARE_EMAIL: email } = process.env;
  if (token) return { token };
  return key && email ? { key, email } : null;
}

/** Returns the credentials that `wrangler login` stored, or null. */
async function storedCredentials(program) {
  const { code, output } = await runWrangler(program, ['auth', 'token', '--json'], { quiet: true });
  return code === 0 ? JSON.parse(output) : null;
}

async function credentials(source) {
  const given = environmentCredentials();
  if (given) return given;
  const program = await source.wrangler();
  const stored = await storedCredentials(program);
  if (stored) return stored;
  await runWrangler(program, ['login']);
  const made = await storedCredentials(program);
  if (!made) throw new UserError('You are not logged in: run the command again and finish the login in the browser, or set CLOUDFLARE_API_TOKEN.');
  return made;
}

/** Fails if there are no credentials and no terminal in which the program could ask for them. */
function mustHaveCredentials() {
  if (isInteractive() || environmentCredentials()) return;
  throw new UserError(
    'The login needs a terminal. Without a terminal set CLOUDFLARE_API_TOKEN (template "Edit Cloudflare Workers"), CLOUDFLARE_ACCOUNT_ID if the token may use several accounts, and ADMIN_TOKEN for the first deployment.',
  );
}

async function chosenAccount(accounts) {
  console.log('Your login may use several accounts:');
  for (const [n, { name, id }] of accounts.entries()) console.log(`  ${n + 1}  ${name} (${id})`);
  const prompt = createInterface({ input: process.stdin, output: process.stdout });
  const answer = await prompt.question(`Which one? [1-${accounts.length}] `);
  prompt.close();
  const chosen = accounts[Number(answer) - 1];
  if (!chosen) throw new UserError(`"${answer}" is not in the list: type a number from 1 to ${accounts.length}.`);
  return chosen.id;
}

async function openAccount(source, wanted) {
  const id = process.env.CLOUDFLARE_ACCOUNT_ID || wanted.account_id;
  const account = new Account({ ...(await credentials(source)), id });
  await account.choose(isInteractive() ? chosenAccount : null);
  return account;
}

async function remoteOf(account, name) {
  const settings = await account.find(`${account.scripts()}/${name}/settings`);
  if (!settings) return nothingRemote;
  const subdomain = await account.find(`${account.scripts()}/${name}/subdomain`);
  const secrets = await account.find(`${account.scripts()}/${name}/secrets`);
  const hasToken = (secrets ?? []).some((secret) => secret.name === 'ADMIN_TOKEN');
  const { bindings = [] } = settings;
  return { isThere: true, hasToken, isWorkersDev: subdomain?.enabled, bindings };
}

/**
 * Rejects a Worker of another program, whose code a deployment would replace. A Worker with only the
 * secret was created by `wrangler secret put`. The platform's Workers Builds creates an empty Worker.
 */
function mustBeTidemark({ isThere, hasToken, bindings }, name) {
  const isOurs = hasToken || bindings.some((one) => one.name === 'CATALOG');
  if (!isThere || isOurs || process.env.WRANGLER_CI_OVERRIDE_NAME) return;
  throw new UserError(`The account has a Worker ${name} that is not a deployment of Tidemark: choose another name with --name, or delete that Worker.`);
}

/**
 * Rejects a change of the jurisdiction of an existing deployment. In another jurisdiction, the
 * Catalog's name refers to another object, without any database or token.
 */
function mustKeepJurisdiction({ isThere, bindings }, wanted) {
  const current = bindings.find(({ name }) => name === 'JURISDICTION')?.text ?? '';
  if (!isThere || wanted === undefined || wanted === current) return;
  throw new UserError(`The jurisdiction of a deployment cannot change: it is ${current || 'none'}. Deploy under another name, and move the data with backups.`);
}

export const locationsIn = { eu: ['weur', 'eeur'], us: ['wnam', 'enam'], fedramp: ['wnam', 'enam'], 'fedramp-high': ['wnam', 'enam'] };

/**
 * Rejects a location outside of the jurisdiction, because the server would then reject every
 * request.
 */
function mustBeInside({ bindings }, vars) {
  const [location, jurisdiction] = ['DEFAULT_LOCATION', 'JURISDICTION'].map((key) => vars[key] ?? bindings.find(({ name }) => name === key)?.text);
  const inside = locationsIn[jurisdiction] ?? [location];
  if (location && !inside.includes(location)) throw new UserError(`The location ${location} is outside of the jurisdiction ${jurisdiction}: choose ${inside.join(' or ')}, or no location.`);
}

/**
 * Fails if the account needs a subdomain that wrangler cannot register, because wrangler registers
 * a subdomain only in a terminal.
 */
async function mustHaveSubdomain(account, wanted) {
  if (isInteractive() || wanted.domain || wanted.workers_dev === false) return;
  const subdomain = await account.find(`/accounts/${account.id}/workers/subdomain`);
  if (!subdomain) throw new UserError(subdomainStep);
}

/** Returns ADMIN_TOKEN from the environment, or a new token if a terminal can display it. */
function firstToken(remote) {
  if (remote.hasToken) return null;
  const { ADMIN_TOKEN: given } = process.env;
  if (given) return { value: checked('ADMIN_TOKEN', given), isNew: false };
  if (isInteractive()) return { value: newToken(), isNew: true };
  throw new UserError('ADMIN_TOKEN is not set, and a generated token would stay in the log: set ADMIN_TOKEN to the output of `openssl rand -hex 16`.');
}

class Deployment {
  constructor({ source, options, wanted, account, remote, folder, program }) {
    this.source = source;
    this.options = options;
    this.wanted = wanted;
    this.account = account;
    this.remote = remote;
    this.folder = folder;
    this.program = program;
    this.dry = options['dry-run'] ? ['--dry-run'] : [];
    this.name = wanted.name;
  }

  write(name, value) {
    const file = join(this.folder, name);
    writeFileSync(file, JSON.stringify(value, null, 2), { mode: 0o600 });
    return file;
  }

  run(words) {
    const env = this.account ? { CLOUDFLARE_ACCOUNT_ID: this.account.id } : {};
    return runWrangler(this.program, words, { env });
  }

  /** If a wrangler run failed, throws the suggested next step. */
  must(run, name) {
    if (run.code === 0) return run;
    const step = nextStep(run, name, this.source.hint);
    throw new UserError(step ? `\n${step}` : `\nwrangler failed; see the message above.`);
  }

  /** Resolves to null if SQL was not built or the account has the free plan. */
  async sql(main) {
    if (!main || this.options['without-sql']) {
      console.log(main ? '- SQL is not deployed, because of --without-sql' : '- SQL is not deployed, because it was not built');
      return null;
    }
    const name = `${this.name}-sql`;
    const { base } = this.source;
    const file = this.write('sql.json', sqlConfiguration({ base, main, name, accountId: this.account?.id }));
    const run = await this.run(['deploy', '--config', file, ...this.dry]);
    if (refusesLimits(run)) {
      console.log('\n- SQL is not deployed: planning a statement takes more than the 10 ms of CPU time of the free plan');
      return null;
    }
    this.must(run, name);
    return name;
  }

  configuration(sqlName, isPaid) {
    const { source, options, wanted, remote } = this;
    const whole = databaseConfiguration({ base: source.base, env: options.env, wanted, remote, sqlName, isPaid });
    return this.write('wrangler.json', whole);
  }

  /** If the plan rejects limits, runs wrangler again with the configuration for the free plan. */
  async upload(words, sqlName) {
    const attempt = (isPaid) => this.run([...words, '--config', this.configuration(sqlName, isPaid), ...this.dry]);
    const run = await attempt(true);
    const hasOwnLimits = this.wanted.wrangler?.limits;
    if (!refusesLimits(run) || hasOwnLimits) return run;
    console.log('\n- This account is on the free plan: uploading again without the CPU limit and with smaller shards');
    return attempt(false);
  }
}

/**
 * Returns whether the upload may have stored the token. The token cannot be read again, so it must
 * be displayed.
 */
async function mayHaveToken({ account, name }, run) {
  if (run.code === 0) return true;
  try {
    return (await remoteOf(account, name)).hasToken;
  } catch {
    return true;
  }
}

async function printToken(deployment, token, run) {
  if (!token || !(await mayHaveToken(deployment, run))) return;
  const { name, source } = deployment;
  if (token.isNew) console.log(`\nThe admin token of ${name}, shown once: ${token.value}`);
  else console.log(`\nThe admin token of ${name} is the value of ADMIN_TOKEN in the environment.`);
  console.log(`To change it: ${source.hint} secret put ADMIN_TOKEN --name ${name}`);
}

async function deployAll(deployment, sqlName, token) {
  const secrets = token ? ['--secrets-file', deployment.write('secrets.json', { ADMIN_TOKEN: token.value })] : [];
  const run = await deployment.upload(['deploy', ...secrets], sqlName);
  if (deployment.account) await printToken(deployment, token, run);
  deployment.must(run, deployment.name);
}

/** Returns the versions of the latest deployment, newest first. */
async function servingVersions({ account, name }) {
  const found = await account.find(`${account.scripts()}/${name}/deployments`);
  const deployments = found?.deployments ?? [];
  const [{ versions = [] } = {}] = deployments;
  const numbered = await Promise.all(versions.map(async ({ version_id: id }) => {
    const { number } = await account.call('GET', `${account.scripts()}/${name}/versions/${id}`);
    return { id, number };
  }));
  return { deployments, serving: numbered.sort((a, b) => b.number - a.number).map(({ id }) => id) };
}

/**
 * Routes `share` percent of the requests to the first version.
 * @param {Deployment} deployment
 * @param {string[]} versions
 * @param {number} share
 */
async function split(deployment, [newer, older], share) {
  const versions = share === 100 ? [`${newer}@100%`] : [`${newer}@${share}%`, `${older}@${100 - share}%`];
  const file = deployment.configuration(null, false);
  deployment.must(await deployment.run(['versions', 'deploy', ...versions, '--yes', '--config', file]), deployment.name);
}

async function deployGradually(deployment, share, sqlOf) {
  const { name, options } = deployment;
  const { serving } = await servingVersions(deployment);
  if (serving.length === 0) throw new UserError(`${name} is not deployed yet: deploy it without --gradual first.`);
  if (serving.length > 1) {
    console.log(`- A gradual upgrade of ${name} is running: the command changes only the share of the new version`);
    return split(deployment, serving, share);
  }
  const sqlName = await sqlOf();
  const run = deployment.must(await deployment.upload(['versions', 'upload'], sqlName), name);
  const { version_id: newer } = run.entries.find(({ type }) => type === 'version-upload');
  await split(deployment, [newer, serving[0]], share);
  const next = `--gradual ${share < 50 ? 50 : 100}${options.env ? ` --env ${options.env}` : ''}`;
  if (share < 100) console.log(`\nTo continue the upgrade, use ${next}. To end it, use --rollback.`);
}

async function rollback(deployment) {
  const { name } = deployment;
  const { deployments, serving } = await servingVersions(deployment);
  if (serving.length > 1) return split(deployment, [serving[1]], 100);
  const [now] = serving;
  const before = deployments.slice(1).find(({ versions }) => versions.length === 1 && versions[0].version_id !== now);
  if (!before) throw new UserError(`${name} has no earlier version to restore.`);
  return split(deployment, [before.versions[0].version_id], 100);
}

function shareOf(text) {
  if (text === undefined) return null;
  const share = Number(text);
  if (!Number.isInteger(share) || share < 1 || share > 100) throw new UserError(`--gradual is "${text}": set it to a percentage from 1 to 100.`);
  return share;
}

function mustFit(options) {
  const ways = ['dry-run', 'gradual', 'rollback'].filter((name) => options[name] !== undefined);
  if (ways.length > 1) throw new UserError(`Use only one of --${ways[0]} and --${ways[1]}.`);
}

async function prepared(source, options, wanted) {
  if (options['dry-run']) return { account: null, remote: nothingRemote, token: null };
  mustHaveCredentials();
  const account = await openAccount(source, wanted);
  const remote = await remoteOf(account, wanted.name);
  mustBeTidemark(remote, wanted.name);
  const { vars } = databaseConfiguration({ base: source.base, env: options.env, wanted, remote, sqlName: null, isPaid: true });
  mustKeepJurisdiction(remote, vars.JURISDICTION);
  mustBeInside(remote, vars);
  const isFirst = !options.rollback && shareOf(options.gradual) === null;
  if (isFirst) await mustHaveSubdomain(account, wanted);
  return { account, remote, token: isFirst ? firstToken(remote) : null };
}

/**
 * Runs all checks that need no upload before `source.build`.
 * @param {Source} source
 * @param {Record<string, any>} options the options of the command
 * @param {Record<string, any>} wanted the result of [wantedOf]
 */
export async function deploy(source, options, wanted) {
  mustFit(options);
  const share = shareOf(options.gradual);
  const { account, remote, token } = await prepared(source, options, wanted);
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-deploy-'));
  // The folder contains the admin token. A signal ends the process without `finally`.
  const clear = () => rmSync(folder, { recursive: true, force: true });
  process.once('exit', clear);
  try {
    const main = options.rollback ? null : await source.build();
    const program = await source.wrangler();
    const deployment = new Deployment({ source, options, wanted, account, remote, folder, program });
    if (options.rollback) await rollback(deployment);
    else if (share !== null) await deployGradually(deployment, share, () => deployment.sql(main));
    else await deployAll(deployment, await deployment.sql(main), token);
  } finally {
    clear();
    process.off('exit', clear);
  }
}
