// npm run deploy: builds everything, then runs `tidemark deploy` with the arguments after `--`.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import command from '../packages/tidemark/commands/deploy.mjs';
import { helpOf, optionsOf } from '../packages/tidemark/lib/command.mjs';
import { deploy } from '../packages/tidemark/lib/deploy.mjs';
import { wantedOf } from '../packages/tidemark/lib/deploy_file.mjs';
import { servedFolder, servedPage } from './console.mjs';
import { settings } from './dev-server.mjs';
import { hasSql, sqlFolder } from './modules.mjs';
import { endAllOnSignals } from './processes.mjs';
import { at, finishWith, newNode, UserError, wrangler } from './project.mjs';
import { packages, prepareAll, prepareSql } from './setup.mjs';

/** The paths are absolute, because the generated configuration is in another folder. */
async function base() {
  const { parse } = await import('smol-toml');
  const whole = /** @type {any} */ (parse(readFileSync(at('wrangler.toml'), 'utf8')));
  return { ...whole, main: at(whole.main), assets: { ...whole.assets, directory: servedFolder } };
}

/** Resolves to the main module of the SQL Worker, or null if SQL was never built. */
async function build() {
  await prepareAll();
  servedPage();
  // Cloudflare's Workers Builds sets this variable. It deploys only one Worker for each repository,
  // so the SQL Worker cannot be deployed.
  if (!hasSql() || process.env.WRANGLER_CI_OVERRIDE_NAME) return null;
  await prepareSql();
  return join(sqlFolder, 'index.js');
}

async function run() {
  const { options, positionals } = optionsOf('deploy', command, process.argv.slice(2));
  if (options.help) {
    process.stdout.write(helpOf('deploy', command));
    return 0;
  }
  if (positionals.length > 0) throw new UserError(`unknown argument "${positionals[0]}": see npm run deploy -- --help`);
  const name = process.env.WRANGLER_CI_OVERRIDE_NAME ?? options.name;
  const wanted = wantedOf({ ...options, name }, settings);
  if (!existsSync(wrangler)) await packages();
  const source = { base: await base(), build, wrangler: async () => [newNode(), wrangler], hint: 'npm run wrangler --' };
  return deploy(source, options, wanted);
}

endAllOnSignals();
await finishWith(run);
