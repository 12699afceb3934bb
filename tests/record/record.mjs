// Runs the query scripts against a real InfluxDB 1.x, and replaces their recorded responses.
//
//   node tests/record/record.mjs [--check] [--tsi1] [files or directories…]
//
// With --check, changes no file, and fails if a response differs from the recorded response. With
// --tsi1, uses the series index tsi1 instead of the default index.

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Client, scriptFiles } from './client.mjs';
import { startInfluxd } from './influxd.mjs';
import { parseScript, printScript } from './script.mjs';

const ALL = fileURLToPath(new URL('../data/query', import.meta.url));

const args = process.argv.slice(2);
const check = args.includes('--check');
const paths = args.filter((arg) => !arg.startsWith('--'));
const files = scriptFiles(paths.length > 0 ? paths : [ALL]);

const influxd = await startInfluxd(args.includes('--tsi1') ? 'tsi1' : 'inmem');
let complaints = 0;
try {
  const client = new Client(influxd.url);
  let queries = 0;
  for (const file of files) {
    const before = readFileSync(file, 'utf8');
    const steps = parseScript(before, file);
    await play(client, steps);
    const after = printScript(steps);
    warnOfTies(steps);
    await play(client, steps);
    if (printScript(steps) !== after) complain(`${file}: a second run gave other answers`);
    queries += steps.filter(({ kind }) => kind === 'query').length;
    if (after === before) continue;
    if (check) complain(`${file}: the server now answers differently`);
    else writeFileSync(file, after);
    console.log(`${check ? 'differs' : 'rewritten'}: ${file}`);
  }
  console.log(`${files.length} files, ${queries} queries, ${complaints} complaints`);
} finally {
  await influxd.stop();
}
process.exitCode = complaints > 0 ? 1 : 0;

async function play(client, steps) {
  await client.reset();
  for (const step of steps) {
    if (step.kind === 'write') await client.write(step);
    if (step.kind !== 'query' || step.options['by-hand']) continue;
    step.body = await client.query(step);
    if (step.body[0]?.startsWith('malformed')) complain(`${step.at}: ${step.body[0]}`);
  }
}

// Warns about rows of the same time in one series, because 1.x merges them in an undefined order.
function warnOfTies(steps) {
  for (const { kind, unordered, isText, options, statement, body, at } of steps) {
    if (kind !== 'query' || unordered || isText || options.epoch) continue;
    if (/distinct|top\(|bottom\(/i.test(statement)) continue;
    const times = body.map((line) => /^(\d{4}-\S+Z|-?\d+) /.exec(line)?.[1]);
    const tie = times.some((time, n) => n > 0 && time && time === times[n - 1]);
    if (tie) complain(`${at}: rows of equal time; is this query-unordered?`);
  }
}

function complain(text) {
  complaints += 1;
  console.error(text);
}
