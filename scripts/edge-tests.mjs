// Runs the end-to-end tests. Two files run at the same time: one that depends on time or memory,
// and one that only compares results. The last output line contains the counts as JSON, for
// scripts/test.mjs.
//
// Arguments: parts of file names. A slash matches the beginning of a name, as in `/sql.`. Without
// arguments all files run, but those in `nightly` only with TIDEMARK_NIGHTLY=1.

import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { run } from 'node:test';

import { consolePage } from './console.mjs';
import { at } from './project.mjs';

const fileMs = 15 * 60_000;

const folder = at('tests', 'edge');
const wanted = process.argv.slice(2);
/** The beginnings of the names of files that take several minutes, for example to compile a client. */
const nightly = ['backup_program', 'clients_telegraf', 'flight_rust', 'flight_slow'];
const runsNightly = process.env.TIDEMARK_NIGHTLY === '1';
const isWanted = (name) => {
  if (wanted.length > 0) return wanted.some((part) => `/${name}`.includes(part));
  return runsNightly || !nightly.some((start) => name.startsWith(start));
};
const files = readdirSync(folder)
  .filter((name) => name.endsWith('.test.mjs') && isWanted(name))
  .sort()
  .map((name) => join(folder, name));

/** The maximum number of stack lines for each failure in the final list. */
const failureLinesMax = 12;

const counts = { passed: 0, failed: 0, failures: [], skipped: [] };

/** @param {any} event an event of the test runner. Only the event of a failed test has an error. */
function verdict({ name, file, skip, details }, failed) {
  if (details.type === 'suite' && !failed) return;
  const took = `${Math.round(details.duration_ms)} ms`;
  if (skip !== undefined) {
    counts.skipped.push(typeof skip === 'string' ? `${name} (${skip})` : name);
    console.log(`  - ${name}: skipped`);
  } else if (failed) {
    counts.failed += 1;
    const error = details.error?.cause ?? details.error;
    const text = String(error?.stack ?? error);
    console.log(`  x ${name} (${took})\n${text}`);
    const start = text.split('\n').slice(0, failureLinesMax).join('\n    ');
    counts.failures.push(`${basename(file ?? '')}: ${name}\n    ${start}`);
  } else {
    counts.passed += 1;
    console.log(`  + ${name} (${took})`);
  }
}

// Each file runs in a new process. The processes load compiled code of their packages.
process.env.NODE_COMPILE_CACHE ??= at('.cache', 'node');

// A single test file also needs an up-to-date console.
await consolePage();

/** A folder that tests build, such as `.cache/python`, may be used by files of only one kind. */
const comparing = ['clients', 'console', 'examples', 'flight_clients', 'moving', 'openapi', 'parquet', 'program', 'query_influxql', 'quota', 'site', 'sql_peers', 'vendor'];
const isComparing = (file) => comparing.some((start) => basename(file).startsWith(start));

async function runInOrder(chosen) {
  if (chosen.length === 0) return;
  const events = run({ files: chosen, concurrency: 1, timeout: fileMs });
  events.on('test:pass', (data) => verdict(data, false));
  events.on('test:fail', (data) => verdict(data, true));
  events.on('test:stderr', ({ message }) => process.stderr.write(message));
  events.on('test:stdout', ({ message }) => process.stdout.write(message));
  for await (const _ of events);
}

await Promise.all([files.filter(isComparing), files.filter((file) => !isComparing(file))].map(runInOrder));
console.log(JSON.stringify(counts));
