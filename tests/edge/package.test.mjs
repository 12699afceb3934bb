// Uses the npm package like a new user: installs the tarball, runs its commands and imports its
// client.

import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { packPackage } from '../../scripts/package.mjs';
import { must } from '../../scripts/processes.mjs';
import { at, newNode, npm, wrangler } from '../../scripts/project.mjs';
import { temporaryFolder } from './harness.mjs';

const json = (path) => JSON.parse(readFileSync(at(path), 'utf8'));

/** Installs the package. It has no dependencies, so the installation needs no registry. */
async function installed(t) {
  const folder = temporaryFolder(t);
  const archive = await packPackage(folder);
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n');
  const [command, first] = npm();
  const flags = ['--offline', '--cache', join(folder, '.npm'), '--ignore-scripts', '--no-audit', '--no-fund'];
  await must('Installing the package', command, [...first, '--prefix', folder, 'install', ...flags, archive], { quiet: true });
  return folder;
}

const programIn = (folder) => join(folder, 'node_modules', '.bin', 'tidemark');

function tidemarkProgram(folder, words, { env = {} } = {}) {
  const child = spawn(programIn(folder), words, { cwd: folder, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  const texts = { output: '', said: '' };
  child.stdout.on('data', (piece) => (texts.output += piece));
  child.stderr.on('data', (piece) => (texts.said += piece));
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, ...texts })));
}

test('in a clone of the repository, a command that needs the built package names the next step', () => {
  const program = at('packages', 'tidemark', 'bin', 'tidemark.mjs');
  const env = { ...process.env, CLOUDFLARE_API_TOKEN: 'an-api-token' };
  for (const words of [['deploy', '--dry-run'], ['probe']]) {
    const { status, stderr } = spawnSync(newNode(), [program, ...words], { env, encoding: 'utf8' });
    assert.equal(status, 1, stderr);
    assert.match(stderr, /^This command needs \S+about\.json, which only a built package contains\. .*`npm run package`.*\n$/);
  }
});

test('the installed package works', async (t) => {
  const install = await installed(t);

  await t.test('the program lists its commands and explains each command', async () => {
    for (const words of [[], ['--help']]) {
      const { code, output } = await tidemarkProgram(install, words);
      assert.equal(code, 0);
      for (const name of ['deploy', 'probe', 'costs']) assert.match(output, new RegExp(`^  ${name} +\\w`, 'm'));
    }
    for (const name of ['deploy', 'probe', 'costs']) {
      const taught = await tidemarkProgram(install, [name, '--help']);
      assert.equal(taught.code, 0);
      assert.match(taught.output, new RegExp(`^usage: tidemark ${name} `, 'm'));
      assert.match(taught.output, /^Examples:$/m);
    }
    const { code: wrong, said } = await tidemarkProgram(install, ['serve']);
    assert.equal(wrong, 1);
    assert.match(said, /^Unknown command "serve": use one of deploy, probe, costs, /);
    const option = await tidemarkProgram(install, ['deploy', '--nmae', '1']);
    assert.deepEqual([option.code, option.said.includes("Unknown option '--nmae'")], [1, true], option.said);
    const files = readdirSync(join(install, 'node_modules', 'tidemark'));
    for (const name of ['LICENSE-APACHE', 'LICENSE-MIT', 'README.md', 'built']) assert.ok(files.includes(name), name);
  });

  await t.test('programs can import the client and its types', () => imported(install));
  await t.test('the package contains the files that it deploys', () => deployed(install));
  await t.test('the package contains the prices and the modules of the probe', () => needsAccount(install));
});

/** Tests that the client's types accept correct use and reject wrong use. */
async function imported(install) {
  const program = (field) => `import { Tidemark, TidemarkError, type Point } from 'tidemark/client';
const database = new Tidemark({ url: 'http://127.0.0.1:1', token: 't', database: 'd' });
const point: Point = { measurement: 'm', tags: { a: 'b' }, fields: { v: ${field} }, time: new Date() };
database.write([point], { waitUntil: (promise: Promise<unknown>) => { void promise; } });
const told: (error: TidemarkError) => number | undefined = (error) => error.status;
void told;
`;
  const flags = ['--noEmit', '--strict', '--ignoreConfig', '--module', 'nodenext', '--target', 'es2024', '--lib', 'es2024,dom', '--types', ''];
  const checked = (name, text) => {
    writeFileSync(join(install, name), text);
    return spawnSync(process.execPath, [at('node_modules', 'typescript', 'bin', 'tsc'), ...flags, name], { cwd: install, encoding: 'utf8' });
  };
  const right = checked('right.mts', program('1n'));
  assert.equal(right.status, 0, right.stdout);
  assert.match(checked('wrong.mts', program('new Date()')).stdout, /wrong\.mts.*error TS2322/);
  const run = "const { Tidemark } = await import('tidemark/client'); console.log(typeof Tidemark.prototype.write)";
  assert.equal(execFileSync(process.execPath, ['--input-type=module', '-e', run], { cwd: install, encoding: 'utf8' }), 'function\n');
}

/** Performs a dry run of a deployment. tests/edge/deploy.test.mjs tests the rest. */
async function deployed(install) {
  const programs = join(install, 'programs');
  mkdirSync(programs);
  // Provides this Node, because wrangler rejects an older Node that may be in the PATH.
  symlinkSync(process.execPath, join(programs, 'node'));
  const { wrangler: version } = json('package.json').devDependencies;
  const text = `[ "$1 $2" = "--yes wrangler@${version}" ] && shift 2 && exec '${process.execPath}' '${wrangler}' "$@"`;
  writeFileSync(join(programs, 'npx'), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  const env = { PATH: `${programs}:${process.env.PATH}`, WRANGLER_SEND_METRICS: 'false', HOME: install };
  const dry = await tidemarkProgram(install, ['deploy', '--dry-run', '--name', 'metrics'], { env });
  assert.equal(dry.code, 0, dry.output + dry.said);
  const ofSql = existsSync(join(install, 'node_modules', 'tidemark', 'built', 'sql')) ? ['env.SQL'] : [];
  for (const name of [...ofSql, 'env.CATALOG', 'env.DATABASE', 'env.SHARD', 'from the assets directory', '--dry-run: exiting']) {
    assert.ok(dry.output.includes(name), dry.output + dry.said);
  }
  assert.doesNotMatch(dry.said, /warning/i);
}

/** Tests that commands without an account fail, but only after they have read their files. */
async function needsAccount(install) {
  const env = { CLOUDFLARE_API_TOKEN: '', TIDEMARK_TOKEN: '' };
  const probe = await tidemarkProgram(install, ['probe'], { env });
  assert.equal(probe.code, 1);
  assert.match(probe.said, /^[^\n]*CLOUDFLARE_API_TOKEN[^\n]*\n$/);
  const costs = await tidemarkProgram(install, ['costs'], { env });
  assert.equal(costs.code, 1);
  assert.match(costs.said, /^No token: set TIDEMARK_TOKEN/);
  for (const name of ['worker.js', 'memory.js', 'large.js']) assert.ok(existsSync(join(install, 'node_modules', 'tidemark', 'probe', name)), name);
}
