// Runs the end-to-end tests one file after another and prints each verdict as it falls.
// The last line of its output is the counts as JSON, for scripts/test.mjs.
//
// Arguments: parts of file names; none means all of them.

import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { run } from 'node:test';

import { consolePage } from './console.mjs';
import { at } from './project.mjs';

/** No single file may take longer. */
const fileMs = 15 * 60_000;

const folder = at('tests', 'edge');
const wanted = process.argv.slice(2);
const files = readdirSync(folder)
  .filter((name) => name.endsWith('.test.mjs'))
  .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)))
  .sort()
  .map((name) => join(folder, name));

/** Of a failure's stack, in the list of failures at the end. */
const failureLinesMax = 12;

const counts = { passed: 0, failed: 0, failures: [], skipped: [] };

/** @param {any} event of the runner: one that passed has no error, one that failed has. */
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

// A file alone has to meet the console of this day too.
await consolePage();

const events = run({ files, concurrency: 1, timeout: fileMs });
events.on('test:pass', (data) => verdict(data, false));
events.on('test:fail', (data) => verdict(data, true));
events.on('test:stderr', ({ message }) => process.stderr.write(message));
events.on('test:stdout', ({ message }) => process.stdout.write(message));
for await (const _ of events);
console.log(JSON.stringify(counts));
