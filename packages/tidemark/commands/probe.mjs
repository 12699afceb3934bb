// tidemark probe: measures properties of a Cloudflare account that cannot be measured locally.

import { readFileSync } from 'node:fs';

import { Account } from '../lib/cloudflare.mjs';
import { aboutBuilt } from '../lib/built.mjs';
import { UserError } from '../lib/command.mjs';
import { prefix, probe, removeAll } from '../lib/probe.mjs';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

/** Writes progress to standard error, so that standard output contains only the table. */
const say = (line) => console.error(line);

/** Formats the table as Markdown, so that a user can paste it into an issue. */
function report(rows) {
  const cell = (text) => String(text).replaceAll('|', '\\|').replaceAll('\n', ' ');
  const lines = rows.map((row) => `| ${row.map(cell).join(' | ')} |`);
  const day = new Date().toISOString().slice(0, 10);
  return [`tidemark probe ${version}, ${day}`, '', '| what | measured |', '|---|---|', ...lines].join('\n');
}

async function removeLeft(account, signal) {
  await account.open(signal);
  const names = await account.named(prefix, signal);
  if (names.length === 0) say('The account has no Workers of an earlier probe.');
  await removeAll(account, names, say);
}

async function run({ remove: isRemoving, domain }, words) {
  if (words.length > 0) throw new UserError(`Unexpected argument "${words[0]}". See tidemark probe --help.`);
  const token = process.env.CLOUDFLARE_API_TOKEN;
  if (!token) throw new UserError('CLOUDFLARE_API_TOKEN is not set: create a token that may edit Workers; see tidemark probe --help.');
  const account = new Account({ token, id: process.env.CLOUDFLARE_ACCOUNT_ID });
  const ending = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => ending.abort());
  const { signal } = ending;
  try {
    if (isRemoving) return await removeLeft(account, signal);
    const rows = await probe({ account, day: aboutBuilt().day, say, signal, domain });
    console.log(report(rows));
    say('\nThis table contains no names and no secrets. Please add it to an issue.');
  } catch (error) {
    if (signal.aborted && !(error instanceof UserError)) throw new UserError('Interrupted. The temporary Workers were removed.');
    if (error instanceof TypeError) throw new UserError(`Cloudflare does not respond (${/** @type {any} */ (error.cause)?.code ?? error.message}).`);
    throw error;
  }
}

/** @type {import('../lib/command.mjs').Command} */
export default {
  summary: 'measures properties of your Cloudflare account that no local test can show',
  usage: '[--domain HOST] [--remove]',
  about: `
The command deploys three temporary Workers (${prefix}…) that only this command can use, and sends requests to
them for some minutes. It removes the Workers at the end, and also after a failure or an interruption. It prints a
table of measurements that need an account:

- the largest value that SQLite accepts
- the time to read parts of a blob, and the time of a commit in each region
- the maximum number of calls in one request
- the start time of modules of the real sizes, and the memory that they leave
- the platform's handling of gRPC

The platform counts some 11,000 requests. The free plan includes 100,000 requests a day.

CLOUDFLARE_API_TOKEN must contain a token that may edit Workers (My Profile, API Tokens, "Edit Cloudflare
Workers"). CLOUDFLARE_ACCOUNT_ID selects the account if the token may use several accounts.`,
  options: {
    domain: {
      value: 'HOST',
      help: 'also tests gRPC at this host name, which must have no DNS record yet. The host name must be in\none of the account\'s zones, and gRPC must be on for this zone (under Network). The token then\nalso needs permission to edit the zone.',
    },
    remove: { help: 'measures nothing, and only removes the Workers that an earlier probe could not remove' },
  },
  examples: [
    ['tidemark probe > table.md', 'write the table to a file, which you can add to an issue'],
    ['tidemark probe --domain probe.example.com', 'also test gRPC on a custom domain'],
    ['tidemark probe --remove', 'remove the Workers of an earlier probe, for example after a power failure'],
  ],
  run,
};
