// Runs wrangler for a deployment, and suggests the next step for each of its errors. Both a clone
// of the repository and the npm package use this file.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { UserError } from './command.mjs';

/** The oldest Node that wrangler accepts. */
export const nodeNeeded = '22.12';

export function isNewNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const [majorNeeded, minorNeeded] = nodeNeeded.split('.').map(Number);
  return major > majorNeeded || (major === majorNeeded && minor >= minorNeeded);
}

/** Returns whether wrangler can prompt: only in a terminal, and never in CI. */
export function isInteractive() {
  const isCi = process.env.CI && process.env.CI !== 'false';
  return Boolean(process.stdin.isTTY && process.stdout.isTTY && !isCi);
}

/** @param {string} file */
function entriesIn(file) {
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));
}

/**
 * Runs wrangler. In the result, `entries` are the lines of wrangler's output file. With `quiet`,
 * collects the standard output in `output`, so that wrangler does not prompt.
 * @param {string[]} program the command and its first arguments
 * @param {string[]} words
 */
export async function runWrangler([command, ...first], words, { env = {}, quiet = false } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-wrangler-'));
  const file = join(folder, 'output.ndjson');
  try {
    const child = spawn(command, [...first, ...words], {
      stdio: ['inherit', quiet ? 'pipe' : 'inherit', quiet ? 'ignore' : 'inherit'],
      env: { ...process.env, ...env, WRANGLER_OUTPUT_FILE_PATH: file },
    });
    let output = '';
    child.stdout?.on('data', (piece) => (output += piece));
    const code = await new Promise((resolve, reject) => {
      child.once('error', () => reject(new UserError(`${command} cannot be run: install npm, which comes with Node.`)));
      child.once('close', (status) => resolve(status ?? 1));
    });
    return { code, entries: entriesIn(file), output };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const failureOf = ({ entries }) => entries.find(({ type }) => type === 'command-failed') ?? {};

/** Returns whether the run failed because the account's plan does not permit a CPU limit. */
export const refusesLimits = (run) => run.code !== 0 && failureOf(run).code === 100_328;

export const subdomainStep =
  'This account has no workers.dev subdomain (10007): run the command at a terminal, which registers one, or deploy to your own domain with --domain.';

/** The suggested next steps for the platform's errors, by error code. */
const steps = {
  10_007: () => subdomainStep,
  10_063: () => subdomainStep,
  10_034: () =>
    "The e-mail address of your Cloudflare account is not verified (10034): open the link in Cloudflare's e-mail, or request it again in the dashboard under My Profile, and deploy again.",
  10_042: () =>
    'R2 is not enabled for this account (10042): enable it in the dashboard under R2 Object Storage, or deploy without --backups.',
  10_083: () =>
    'The account has no zone for the host name of --domain (10083): add the domain to the account, or use a host name of one of its zones.',
  10_085: (_, hint) =>
    `The R2 bucket for backups does not exist (10085): create it with ${hint} r2 bucket create BUCKET, or deploy without --backups.`,
  10_021: (name) =>
    `Cloudflare rejected ${name} while starting it (10021): deploy again, because a single slow start can exceed the limit of 1 s. If the error stays, deploy without SQL (--without-sql) or report the error.`,
  10_027: (name) =>
    `${name} is larger than the account's plan allows (10027): use a paid plan, or deploy without SQL (--without-sql).`,
  10_220: () =>
    'A secret has changed since the earlier version, and a rollback would restore the old secret (10220): deploy the earlier release again, which keeps the secrets.',
  100_328: () =>
    `The account's free plan does not support the setting \`limits\` (100328): remove \`limits\` from the \`wrangler\` section of your file, or use a paid plan.`,
};

/** The suggested next steps for wrangler's own errors, which have no code. */
const worded = [
  { pattern: /workers\.dev subdomain/i, step: () => subdomainStep },
  {
    pattern: /More than one account/i,
    step: () => 'The credentials may use several accounts: set CLOUDFLARE_ACCOUNT_ID to one of the ids above.',
  },
  {
    pattern: /required secrets have not been set/i,
    step: (name) => `${name} has no ADMIN_TOKEN: set it in the environment and deploy again.`,
  },
];

/** `hint` is the command that runs wrangler. Returns a sentence with the next step, or null for an unknown error. */
export function nextStep(run, name, hint) {
  const { code, message = '' } = failureOf(run);
  const byText = worded.find(({ pattern }) => pattern.test(message));
  return steps[code]?.(name, hint) ?? byText?.step(name) ?? null;
}
