// Runs query scripts against a server over HTTP, and compares the responses with the recorded
// responses.
//
//   node tests/record/replay.mjs URL TOKEN [files or directories…]
//
// Deletes all databases and users of that server.

import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client, scriptFiles } from './client.mjs';
import { difference } from './compare.mjs';
import { parseScript } from './script.mjs';

const ALL = fileURLToPath(new URL('../data/query', import.meta.url));

/** Runs all scripts if `paths` is empty. Returns counts and the differences. */
export async function replay(url, token, paths = []) {
  const client = new Client(url, token);
  const summary = { files: 0, passed: 0, failures: [] };
  for (const file of scriptFiles(paths.length > 0 ? paths : [ALL])) {
    const name = relative(ALL, file);
    summary.files += 1;
    await client.reset();
    for (const step of parseScript(readFileSync(file, 'utf8'), name)) {
      if (step.kind !== 'write' && step.kind !== 'query') continue;
      const verdict = await play(client, step);
      if (verdict === null) summary.passed += 1;
      else summary.failures.push(`${step.at}: ${step.head}\n${verdict}`);
    }
  }
  return summary;
}

async function play(client, step) {
  try {
    if (step.kind === 'query') return difference(step, step.body, await client.query(step));
    await client.write(step);
    return null;
  } catch (error) {
    return error.message;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [url, token, ...paths] = process.argv.slice(2);
  if (!url) throw new Error('usage: replay.mjs URL TOKEN [files or directories…]');
  const { files, passed, failures } = await replay(url, token ?? '', paths);
  for (const failure of failures) console.log(failure);
  const failed = failures.length;
  console.log(`${files} scripts: ${passed} passed, ${failed} failed`);
  process.exitCode = failures.length > 0 ? 1 : 0;
}
