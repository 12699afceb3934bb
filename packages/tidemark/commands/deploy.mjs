// tidemark deploy: deploys the package's Worker and console to a Cloudflare account with wrangler.

import { join } from 'node:path';

import { aboutBuilt, built, builtSql } from '../lib/built.mjs';
import { Sentence } from '../lib/command.mjs';
import { deploy } from '../lib/deploy.mjs';
import { defaultFile, wantedOf } from '../lib/deploy_file.mjs';
import { isNewNode, nodeNeeded } from '../lib/wrangler.mjs';

async function run(options, words) {
  if (words.length > 0) throw new Sentence(`What is "${words[0]}"? See tidemark deploy --help.`);
  if (!isNewNode()) throw new Sentence(`deploy needs Node ${nodeNeeded} or newer, for wrangler: this is ${process.versions.node}.`);
  const { wrangler: version, deployment, settings } = aboutBuilt();
  const { assets } = deployment;
  const base = { ...deployment, main: join(built, 'index.js'), assets: { ...assets, directory: join(built, 'site') } };
  const source = {
    base,
    wrangler: async () => ['npx', '--yes', `wrangler@${version}`],
    build: async () => (builtSql() ? join(builtSql(), 'index.js') : null),
    hint: `npx wrangler@${version}`,
  };
  await deploy(source, options, wantedOf(options, settings));
}

/** @type {import('../lib/command.mjs').Command} */
export default {
  summary: 'puts the database into your account of Cloudflare',
  usage: '[--name NAME] [--env ENV] [--dry-run | --gradual PERCENT | --rollback] [OPTIONS]',
  about: `
It deploys the Worker, its three kinds of Durable Object and the console of this package, by wrangler in the version
that they are tested with, which npx fetches. At a terminal wrangler asks you to log in. Without one set
CLOUDFLARE_API_TOKEN, CLOUDFLARE_ACCOUNT_ID if the token may use several accounts, and for the first deployment
ADMIN_TOKEN.

The first version has its admin token: ADMIN_TOKEN of the environment, or a random one that is printed once. Deploy
again to update: data, secrets, and variables and buckets that were set in the dashboard stay. An account of the free
plan gets no CPU limit and smaller shards.

The options may stand in ${defaultFile} of the current folder, or in the file of --config. Its schema for editors is
deploy.schema.json of the package.`,
  options: {
    name: { value: 'NAME', help: "of the Worker, and the first part of its address; another name is another database\n(otherwise that of the file, or tidemark)" },
    env: { value: 'ENV', help: 'an environment of the file, such as staging: the Workers are NAME-ENV and NAME-ENV-sql' },
    config: { value: 'FILE', help: `the file instead of ${defaultFile}` },
    domain: { value: 'HOST', help: 'serves at this name of a zone of the account, instead of workers.dev' },
    backups: { value: 'BUCKET', help: 'the R2 bucket for backups, which has to exist' },
    location: { value: 'LOCATION', help: 'where new databases are created, such as weur, instead of near their creator' },
    jurisdiction: { value: 'NAME', help: 'eu, us, fedramp or fedramp-high, for all objects; only with the first deployment' },
    placement: { value: 'PLACE', help: 'smart, or a cloud region such as aws:eu-central-1' },
    var: { value: 'NAME=VALUE', isRepeated: true, help: 'a setting of docs/SETTINGS.md; may be repeated' },
    'without-sql': { help: 'leaves out the SQL Worker' },
    'dry-run': { help: 'builds what would be deployed, and deploys nothing' },
    gradual: { value: 'PERCENT', help: 'gives this share of requests and objects to the new version; again to change the share, up to 100' },
    rollback: { help: 'ends a gradual upgrade, or goes back to the version before' },
  },
  examples: [
    ['tidemark deploy --dry-run', 'to see what it would do'],
    ['tidemark deploy', 'at tidemark.ACCOUNT.workers.dev'],
    ['tidemark deploy --env staging', 'a second one, with data and an SQL Worker of its own'],
    ['tidemark deploy --gradual 10', 'ten percent for the new version; later 50, then 100'],
  ],
  run,
};
