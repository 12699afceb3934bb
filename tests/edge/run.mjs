// Runs the end-to-end tests in two lanes, so that two files run at the same time. At most one of
// the two files depends on time or memory. The last output line contains the counts as JSON, for
// scripts/test.mjs.
//
//   node tests/edge/run.mjs              all files, except those in `nightly` without TIDEMARK_NIGHTLY=1
//   node tests/edge/run.mjs --usual      the files in `usual`, for `npm test`
//   node tests/edge/run.mjs kill /sql.   files whose names contain `kill` or start with `sql.`

import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { run } from 'node:test';

import { consolePage } from '../../scripts/console.mjs';
import { at } from '../../scripts/project.mjs';

const fileMs = 15 * 60_000;

const folder = at('tests', 'edge');
/**
 * The beginnings of the names of the files that `npm test` runs without `--all`: writes, queries, tokens, deletes, kills
 * and restarts, splits and backups, one client each of 1.x, 2.x and 3, and the console.
 */
const usual = [
  'backup.', 'busy', 'chunked', 'clients_curl', 'clients_js', 'console_query', 'console_start', 'console_write', 'disconnect', 'freshness',
  'kill.', 'ping', 'query_scripts', 'split', 'tokens', 'verdict', 'workflows',
];
const given = process.argv.slice(2);
const isUsual = given.includes('--usual');
// kill.test.mjs then leaves out the native program, because DataFusion compiles for minutes.
if (isUsual) process.env.TIDEMARK_USUAL = '1';
const wanted = isUsual ? usual.map((start) => `/${start}`) : given;
/** The beginnings of the names of files that take several minutes, for example to compile a client. */
const nightly = ['backup_program', 'clients_telegraf', 'flight_rust', 'flight_slow'];
const runsNightly = process.env.TIDEMARK_NIGHTLY === '1';
const isWanted = (name) => {
  if (wanted.length > 0) return wanted.some((part) => `/${name}`.includes(part));
  return runsNightly || !nightly.some((start) => name.startsWith(start));
};
let files = readdirSync(folder)
  .filter((name) => name.endsWith('.test.mjs') && isWanted(name))
  .sort()
  .map((name) => join(folder, name));

/** The maximum number of stack lines for each failure in the final list. */
const failureLinesMax = 12;

const counts = { passed: 0, failed: 0, failures: [], skipped: [], times: [] };

/** @param {any} event an event of the test runner. Only the event of a failed test has an error. */
function verdict({ name, file, skip, details }, failed) {
  if (details.type === 'suite' && !failed) return;
  const took = `${Math.round(details.duration_ms)} ms`;
  counts.times.push({ name: `${basename(file ?? '')}: ${name}`, seconds: details.duration_ms / 1000 });
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

/**
 * The beginnings of the names of files that only compare results. They also build a shared folder,
 * such as `.cache/python` or `dist-static`, so only one of these files runs at a time.
 */
const building = [
  'clients_flight_python', 'clients_python', 'console_explore', 'console_local', 'console_page_sql', 'examples', 'flight_clients',
  'moving.', 'openapi', 'parquet', 'program_glances', 'query_influxql', 'site', 'sql_peers', 'vendor',
];
/**
 * The beginnings of the names of files that only compare results, and can therefore run next to
 * every other file.
 */
const independent = ['clients', 'console', 'flight_recorded', 'moving_hosts', 'packed', 'program', 'quota'];

const take = (starts) => {
  const isTaken = (file) => starts.some((start) => basename(file).startsWith(start));
  const taken = files.filter(isTaken);
  files = files.filter((file) => !isTaken(file));
  return taken;
};

async function runFile(file) {
  const events = run({ files: [file], timeout: fileMs });
  events.on('test:pass', (data) => verdict(data, false));
  events.on('test:fail', (data) => verdict(data, true));
  events.on('test:stderr', ({ message }) => process.stderr.write(message));
  events.on('test:stdout', ({ message }) => process.stdout.write(message));
  for await (const _ of events);
}

/** Runs the files of the first queue, then those of the queue that both lanes share. */
async function lane(...queues) {
  for (const queue of queues) {
    for (let file = queue.shift(); file; file = queue.shift()) await runFile(file);
  }
}

const [buildingFiles, shared] = [take(building), take(independent)];
await Promise.all([lane(buildingFiles, shared), lane(files, shared)]);
console.log(JSON.stringify(counts));
