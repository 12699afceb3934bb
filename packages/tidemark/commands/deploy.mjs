// tidemark deploy: deploys the package's Worker and console to a Cloudflare account with wrangler.

import { join } from 'node:path';

import { aboutBuilt, built, builtSql } from '../lib/built.mjs';
import { UserError } from '../lib/command.mjs';
import { deploy } from '../lib/deploy.mjs';
import { defaultFile, wantedOf } from '../lib/deploy_file.mjs';
import { isNewNode, nodeNeeded } from '../lib/wrangler.mjs';

async function run(options, words) {
  if (words.length > 0) throw new UserError(`Unexpected argument "${words[0]}". See tidemark deploy --help.`);
  if (!isNewNode()) throw new UserError(`wrangler needs Node ${nodeNeeded} or newer, but this is Node ${process.versions.node}: install a newer version.`);
  // Without a listener, a signal ends the process without the event 'exit', which deletes the files.
  process.once('SIGINT', () => process.exit(130));
  process.once('SIGTERM', () => process.exit(143));
  process.once('SIGHUP', () => process.exit(129));
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
  summary: 'deploys the database to your Cloudflare account',
  usage: '[--name NAME] [--env ENV] [--dry-run | --gradual PERCENT | --rollback] [OPTIONS]',
  about: `
The command deploys this package's Worker, its three kinds of Durable Object and its console with wrangler. npx
downloads the version of wrangler that the package was tested with. At a terminal wrangler opens the login.
Without a terminal, set CLOUDFLARE_API_TOKEN, CLOUDFLARE_ACCOUNT_ID if the token may use several accounts, and
for the first deployment ADMIN_TOKEN.

The admin token of the first version is ADMIN_TOKEN from the environment, or a random token that the command
prints once. Deploy again to update. An update keeps data, secrets, and variables and buckets that were set in
the dashboard. On the free plan the command configures no CPU limit and smaller shards.

The command also reads options from ${defaultFile} in the current folder, or from the file of --config.
deploy.schema.json in the package is the schema of this file for editors.`,
  options: {
    name: { value: 'NAME', help: "the name of the Worker, and the first part of its address; another name means another database\n(default: the name in the file, or tidemark)" },
    env: { value: 'ENV', help: 'an environment in the file, such as staging, which names the Workers NAME-ENV and NAME-ENV-sql' },
    config: { value: 'FILE', help: `the file with options, instead of ${defaultFile}` },
    domain: { value: 'HOST', help: 'serves at this host name, in a zone of the account, instead of workers.dev' },
    backups: { value: 'BUCKET', help: 'the R2 bucket for backups; the bucket has to exist' },
    location: { value: 'LOCATION', help: 'the location of new databases, such as weur; default: near their creator' },
    jurisdiction: { value: 'NAME', help: 'the jurisdiction of all objects: eu, us, fedramp or fedramp-high; only the first deployment can set it' },
    placement: { value: 'PLACE', help: 'the placement of the Worker: smart, or a cloud region such as aws:eu-central-1' },
    var: { value: 'NAME=VALUE', isRepeated: true, help: 'sets a setting of docs/SETTINGS.md; repeat the option for each setting' },
    'without-sql': { help: 'deploys without the SQL Worker' },
    'dry-run': { help: 'builds the deployment, but does not deploy it' },
    gradual: { value: 'PERCENT', help: 'the share of requests and objects for the new version, from 1 to 100;\nrepeat the command with another number to change the share' },
    rollback: { help: 'ends a gradual upgrade, or restores the previous version' },
  },
  examples: [
    ['tidemark deploy --dry-run', 'build the deployment without deploying it'],
    ['tidemark deploy', 'deploy to tidemark.ACCOUNT.workers.dev'],
    ['tidemark deploy --env staging', 'deploy a second database, with separate data and a separate SQL Worker'],
    ['tidemark deploy --gradual 10', 'upgrade ten percent of the requests and objects; repeat with 50, then with 100'],
  ],
  run,
};
