// Runs every code block of the README and of the pages in docs/ and examples/, except the design
// pages, against one new server. Only the address and the token are inserted.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { test } from 'node:test';

import { at } from '../../scripts/project.mjs';
import { blocksOf } from './blocks.mjs';
import { commandProgram } from './commands.mjs';
import { has, PlainWorkerd, temporaryFolder, tidemark, token } from './harness.mjs';
import { grafanaAsks, telegrafOutput } from './settings_files.mjs';

const pages = [
  'README.md',
  'CONTRIBUTING.md',
  ...readdirSync(at('docs'), { recursive: true })
    .map((name) => `docs/${name}`)
    .filter((path) => path.endsWith('.md') && !path.startsWith('docs/design/'))
    .sort(),
  'examples/README.md',
].filter((page) => !readFileSync(at(page), 'utf8').startsWith('<!-- GENERATED'));

/** The installed curl fails if the status is 400 or more, so that the code block fails. */
function strictCurl(folder) {
  const real = process.env.PATH.split(delimiter).map((part) => join(part, 'curl')).find(existsSync);
  const file = join(folder, 'curl');
  writeFileSync(file, `#!/bin/sh\nexec ${real} --silent --show-error --fail-with-body "$@"\n`);
  chmodSync(file, 0o755);
}

/** The points in the page about InfluxQL, as line protocol. */
const homeLines = blocksOf(readFileSync(at('docs', 'reference', 'influxql.md'), 'utf8')).find(({ text }) => text.startsWith('home,')).text;

async function desk(t) {
  const folder = temporaryFolder(t);
  for (const name of ['scripts', 'examples', 'node_modules', 'package.json']) symlinkSync(at(name), join(folder, name));
  mkdirSync(join(folder, 'bin'));
  strictCurl(join(folder, 'bin'));
  symlinkSync(process.execPath, join(folder, 'bin', 'node'));
  symlinkSync(await commandProgram(), join(folder, 'bin', 'tidemark'));
  const dump = '# DDL\nCREATE DATABASE imported\n# DML\n# CONTEXT-DATABASE: imported\nm v=1 1\n';
  writeFileSync(join(folder, 'export.txt.gz'), dump);
  return folder;
}

function paste(text, { cwd, env }) {
  return new Promise((resolve) => {
    const child = spawn('sh', ['-e'], { cwd, env });
    let output = '';
    let said = '';
    child.stdout.on('data', (piece) => (output += piece));
    child.stderr.on('data', (piece) => (said += piece));
    child.on('close', (code) => resolve({ code, output, said }));
    child.stdin.end(text);
  });
}

test('every code block of the documentation works as described', async (t) => {
  if (!has(t, 'curl')) return;
  const server = await tidemark(t, {}, PlainWorkerd);
  const cwd = await desk(t);
  const env = {
    ...process.env,
    PATH: `${join(cwd, 'bin')}${delimiter}${process.env.PATH}`,
    URL: server.url, ADMIN_TOKEN: token, TOKEN: token,
    TIDEMARK_URL: server.url, TIDEMARK_TOKEN: token,
  };
  const readable = (text) => text
    .replaceAll('http://127.0.0.1:8787', server.url)
    .replaceAll('TIDEMARK_TOKEN=…', `TIDEMARK_TOKEN=${token}`);
  await server.query('CREATE DATABASE plant; CREATE DATABASE home');
  await server.mustWrite(`air,room=kitchen temperature=21.5 ${Math.floor(Date.now() / 1_000) - 7_200}`, { db: 'plant', precision: 's' });
  await server.mustWrite(homeLines, { db: 'home', precision: 's' });
  await server.query('CREATE DATABASE mydb');
  await server.mustWrite('m v=1 1', { db: 'mydb' });

  const acts = {
    async sh(text, run) {
      const { code, output, said } = await paste(text, { cwd, env });
      assert.equal(code, 0, output + said);
      run.output = output;
    },
    /** Runs statements in the database `home`. The output format is CSV. */
    async influxql(text, run) {
      const response = await server.fetch('/query', {
        method: 'POST',
        headers: { Accept: 'application/csv' },
        body: new URLSearchParams({ db: 'home', epoch: 's', q: text }),
      });
      run.output = await response.text();
      assert.equal(response.status, 200, run.output);
      assert.doesNotMatch(run.output, /^error/m);
    },
    text: (text, run) => assert.equal(run.output.trim(), text.trim()),
    /** Compares only the names of members and the types of values. */
    json: (text, run) => sameForm(JSON.parse(run.output), JSON.parse(text)),
    async toml(text) {
      const output = telegrafOutput(text, env);
      const now = Math.floor(Date.now() / 1_000);
      output.buffer = [`cpu,from=readme usage_idle=90 ${now}000000000`];
      await output.flush();
      assert.deepEqual(output.log, []);
      const rows = await server.rows(`SELECT usage_idle FROM cpu WHERE time = ${now}s`, { db: 'telegraf', epoch: 's' });
      assert.deepEqual(rows, [[now, 90]]);
    },
    async yaml(text) {
      assert.deepEqual((await grafanaAsks(text, env)('SHOW MEASUREMENTS'))[0].values, [['cpu']]);
    },
  };
  let count = 0;
  for (const page of pages) {
    const run = { output: '' };
    for (const { language, text, line, why } of blocksOf(readFileSync(at(page), 'utf8'))) {
      if (why !== undefined) {
        for (const [file] of why.matchAll(/tests\/\S+\.mjs/g)) assert.ok(existsSync(at(file)), file);
        t.diagnostic(`${page}:${line} not run: ${why}`);
        continue;
      }
      count += 1;
      await t.test(`${page}:${line}, ${language}`, async () => {
        assert.ok(language in acts, `a block of ${language || 'no language'} is neither run nor excused`);
        await acts[language](readable(text), run);
      });
    }
  }
  assert.ok(count >= 12, `only ${count} blocks were found`);
});

/** Numbers and texts may differ, because the example comes from another database. */
function sameForm(found, shown) {
  if (found === null || shown === null) return;
  assert.equal(typeof found, typeof shown);
  if (typeof found !== 'object' || Array.isArray(found)) return;
  assert.deepEqual(Object.keys(found), Object.keys(shown));
  for (const [key, value] of Object.entries(found)) sameForm(value, shown[key]);
}
