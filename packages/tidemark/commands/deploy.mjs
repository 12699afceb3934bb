// tidemark deploy: the packed Worker and console into an account of Cloudflare, by wrangler.

import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { aboutBuilt, built, builtSql } from '../lib/built.mjs';
import { Sentence } from '../lib/command.mjs';
import { isNewNode, nodeNeeded, refusesLimits } from '../lib/wrangler.mjs';

function mustBeNewNode() {
  if (isNewNode()) return;
  throw new Sentence(`deploy needs Node ${nodeNeeded} or newer, for wrangler: this is ${process.versions.node}.`);
}

/** Runs wrangler in its locked version; shows what it says, and resolves to that and its exit code. */
function wrangler(version, words) {
  const child = spawn('npx', ['--yes', `wrangler@${version}`, ...words], { stdio: ['inherit', 'pipe', 'pipe'] });
  let output = '';
  const show = (where) => (piece) => {
    output += piece;
    where.write(piece);
  };
  child.stdout.on('data', show(process.stdout));
  child.stderr.on('data', show(process.stderr));
  return new Promise((resolve, reject) => {
    child.once('error', () => reject(new Sentence('npx cannot be run: install npm, which comes with Node.')));
    child.once('close', (code) => resolve({ code: code ?? 1, output }));
  });
}

/**
 * Sends the Worker of SQL, if the package has it: `{ code, bound }`, and what of the database's configuration
 * binds it.
 */
async function deploySql({ version, deployment, folder, name, isDry }) {
  if (!builtSql()) {
    console.log('This package was made without SQL.');
    return { code: 0 };
  }
  const { compatibility_date, limits } = deployment;
  const closed = { workers_dev: false, preview_urls: false };
  const file = join(folder, 'sql', 'wrangler.json');
  writeFileSync(file, JSON.stringify({ name, main: 'index.js', compatibility_date, limits, ...closed }, null, 2));
  const { code, output } = await wrangler(version, ['deploy', '--config', file, ...(isDry ? ['--dry-run'] : [])]);
  if (code === 0) return { code, bound: { services: [{ binding: 'SQL', service: name }] } };
  if (!refusesLimits(output)) return { code };
  console.log('Without SQL: the 10 ms of the free plan cannot plan a statement.');
  return { code: 0 };
}

async function run({ name, 'dry-run': isDry }, words) {
  if (words.length > 0) throw new Sentence(`What is "${words[0]}"? See tidemark deploy --help.`);
  mustBeNewNode();
  const { wrangler: version, deployment } = aboutBuilt();
  // Wrangler writes beside its configuration, and a package's folder may not be ours.
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-deploy-'));
  try {
    cpSync(built, folder, { recursive: true });
    const sql = await deploySql({ version, deployment, folder, name: `${name}-sql`, isDry });
    if (sql.code !== 0) return sql.code;
    const { limits, ...rest } = { ...deployment, ...sql.bound, name };
    const asked = ['deploy', '--config', join(folder, 'wrangler.json'), ...(isDry ? ['--dry-run'] : [])];
    const attempt = (configuration) => {
      writeFileSync(join(folder, 'wrangler.json'), JSON.stringify(configuration, null, 2));
      return wrangler(version, asked);
    };
    let { code, output } = await attempt({ ...rest, limits });
    if (code !== 0 && refusesLimits(output)) {
      console.log('This account has the free plan: once more without the limit of CPU time.');
      ({ code, output } = await attempt(rest));
    }
    if (code === 0 && !isDry) {
      console.log(`
No data is served until there is an admin token. Once, with what \`openssl rand -hex 16\` prints:

npx wrangler@${version} secret put ADMIN_TOKEN --name ${name}`);
    }
    return code;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @type {import('../lib/command.mjs').Command} */
export default {
  summary: 'puts the database into your account of Cloudflare',
  usage: '[--name NAME] [--dry-run]',
  about: `
It deploys the Worker, its three kinds of Durable Object and the console of this package, by wrangler in the
version that they are tested with, which npx fetches and which asks you to log in
(CLOUDFLARE_API_TOKEN in the environment instead, where there is no browser). Deploy again to update: data and
secrets stay. An account of the free plan gets no limit of CPU time.`,
  options: {
    name: { value: 'NAME', fallback: 'tidemark', help: "of the Worker, and the first part of its address; another name is another database" },
    'dry-run': { help: 'builds what would be deployed, and deploys nothing' },
  },
  examples: [
    ['tidemark deploy --dry-run', 'to see what it would do'],
    ['tidemark deploy', 'at tidemark.ACCOUNT.workers.dev'],
    ['tidemark deploy --name metrics-staging', 'a second one, with data of its own'],
  ],
  run,
};
