// tidemark probe: measures properties of a Cloudflare account that cannot be measured locally.

import { readFileSync } from 'node:fs';

import { Account } from '../lib/cloudflare.mjs';
import { aboutBuilt } from '../lib/built.mjs';
import { Sentence } from '../lib/command.mjs';
import { prefix, probe, removeAll } from '../lib/probe.mjs';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

/** Progress goes to standard error, so that standard output contains only the table. */
const say = (line) => console.error(line);

/** Returns a Markdown table, for an issue. */
function report(rows) {
  const cell = (text) => String(text).replaceAll('|', '\\|').replaceAll('\n', ' ');
  const lines = rows.map((row) => `| ${row.map(cell).join(' | ')} |`);
  const day = new Date().toISOString().slice(0, 10);
  return [`tidemark probe ${version}, ${day}`, '', '| what | measured |', '|---|---|', ...lines].join('\n');
}

async function removeLeft(account, signal) {
  await account.open(signal);
  const names = await account.named(prefix, signal);
  if (names.length === 0) say('Nothing of an earlier probe is there.');
  await removeAll(account, names, say);
}

async function run({ remove: isRemoving, domain }, words) {
  if (words.length > 0) throw new Sentence(`What is "${words[0]}"? See tidemark probe --help.`);
  const token = process.env.CLOUDFLARE_API_TOKEN;
  if (!token) throw new Sentence('CLOUDFLARE_API_TOKEN is not set: make a token that may edit Workers, see tidemark probe --help.');
  const account = new Account({ token, id: process.env.CLOUDFLARE_ACCOUNT_ID });
  const ending = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => ending.abort());
  const { signal } = ending;
  try {
    if (isRemoving) return await removeLeft(account, signal);
    const rows = await probe({ account, day: aboutBuilt().day, say, signal, domain });
    console.log(report(rows));
    say('\nThis table has no name and no secret of yours: please put it into an issue.');
  } catch (error) {
    if (signal.aborted && !(error instanceof Sentence)) throw new Sentence('Interrupted: what was deployed is removed.');
    if (error instanceof TypeError) throw new Sentence(`Cloudflare does not answer (${/** @type {any} */ (error.cause)?.code ?? error.message}).`);
    throw error;
  }
}

/** @type {import('../lib/command.mjs').Command} */
export default {
  summary: 'measures what nothing local shows, in your account of Cloudflare',
  usage: '[--domain HOST] [--remove]',
  about: `
It deploys three scratch Workers (${prefix}…) that only this program can use, asks them for some minutes, removes them
also when it is interrupted or fails, and prints a table of what nobody can know without an account: the largest
value that SQLite takes, how long parts of a blob are read and a commit takes in each region, how many calls a
request may make, how long modules of the real sizes start and how much memory they leave, and what becomes of gRPC. Some 11,000
requests are counted by the platform: within the free plan's 100,000 of a day.

CLOUDFLARE_API_TOKEN has to hold a token that may edit Workers (My Profile, API Tokens, "Edit Cloudflare Workers");
CLOUDFLARE_ACCOUNT_ID says which account if it may use several.`,
  options: {
    domain: {
      value: 'HOST',
      help: 'also tries gRPC at this host name, which must have no DNS record yet: of a zone of the account whose setting gRPC\n(Network) is on; the token then needs the right to edit that zone too',
    },
    remove: { help: 'only removes what an earlier probe left behind, because its machine went down' },
  },
  examples: [
    ['tidemark probe > table.md', 'for an issue'],
    ['tidemark probe --domain probe.example.com', 'also what becomes of gRPC on a custom domain'],
    ['tidemark probe --remove', 'after a power cut'],
  ],
  run,
};
