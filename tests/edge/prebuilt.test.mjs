// Tests a deployment on a machine without Rust. The deployment downloads the archive of a release,
// and must reject every other file.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { delimiter, join } from 'node:path';
import { test } from 'node:test';

import { pack } from '../../scripts/prebuilt.mjs';
import { at } from '../../scripts/project.mjs';
import { listening, temporaryFolder } from './harness.mjs';

const modules = ['build/index.js', 'build/index_bg.wasm', '.cache/engine/tidemark.js', '.cache/engine/tidemark_bg.wasm'];
const sources = ['packages', 'scripts', 'docs/site', 'sql/process', 'src', 'crates', 'www', 'package.json', 'package-lock.json', 'wrangler.toml', 'README.md'];

/**
 * Creates a clone of the repository, and an environment with Node, the npm packages, tar and gzip,
 * but without Rust.
 */
function clone(t) {
  const root = temporaryFolder(t);
  for (const name of sources) cpSync(at(name), join(root, name), { recursive: true });
  mkdirSync(join(root, '.cache'));
  // Links each package separately, so that changes in the clone do not affect this repository.
  mkdirSync(join(root, 'node_modules'));
  for (const name of readdirSync(at('node_modules')).filter((one) => one !== '.package-lock.json')) {
    symlinkSync(at('node_modules', name), join(root, 'node_modules', name));
  }
  // Marks the packages as installed, because this test is not about npm.
  writeFileSync(join(root, 'node_modules', '.package-lock.json'), '');
  const programs = temporaryFolder(t);
  for (const name of ['tar', 'gzip']) {
    const path = process.env.PATH.split(delimiter).map((part) => join(part, name)).find(existsSync);
    symlinkSync(path, join(programs, name));
  }
  symlinkSync(process.execPath, join(programs, 'node'));
  const run = (...args) =>
    new Promise((resolve) => {
      const options = { cwd: root, env: { PATH: programs, HOME: root, WRANGLER_SEND_METRICS: 'false' } };
      execFile(process.execPath, args, options, (error, stdout, stderr) =>
        resolve({ code: error ? error.code : 0, output: stdout + stderr }));
    });
  return { root, run };
}

/** Serves the archive. The test can change the served bytes. */
async function served(t, state) {
  const server = createServer((_, response) => response.end(state.bytes));
  return `${await listening(t, server)}/tidemark.tar.gz`;
}

test('a machine without Rust builds from the archive of a release, and rejects any other archive', async (t) => {
  const archive = join(temporaryFolder(t), 'tidemark-v9.9.9.tar.gz');
  const sha256 = await pack(archive);
  const good = readFileSync(archive);
  const state = { bytes: good };
  const url = await served(t, state);
  const { root, run } = clone(t);
  const build = () => run('scripts/build.mjs');
  // The error comes before the installation of the npm packages, which takes a minute.
  const unpinned = await build();
  assert.equal(unpinned.code, 1);
  assert.match(unpinned.output, /^\nRust is not installed, and prebuilt\.json does not name a release.*install rustup/);

  writeFileSync(join(root, 'prebuilt.json'), JSON.stringify({ tag: 'v9.9.9', url, sha256 }));
  state.bytes = Buffer.concat([good.subarray(0, -1), Buffer.from([good.at(-1) ^ 1])]);
  const damaged = await build();
  assert.equal(damaged.code, 1);
  assert.match(damaged.output, /differs from the file in prebuilt\.json/);
  assert.equal(existsSync(join(root, 'build')), false);

  state.bytes = good;
  const { code, output } = await build();
  assert.equal(code, 0, output);
  assert.match(output, /The modules of v9\.9\.9: done/);
  for (const name of modules) assert.deepEqual(readFileSync(join(root, name)), readFileSync(at(name)), name);
  assert.ok(existsSync(join(root, 'dist', 'engine', 'tidemark_bg.wasm')));
  assert.match((await build()).output, /The modules of v9\.9\.9: up to date/);

  // `npm run deploy` uses the downloaded modules and the generated configuration.
  const deployed = await run('scripts/deploy.mjs', '--dry-run', '--env', 'staging', '--domain', 'metrics.example.com');
  assert.equal(deployed.code, 0, deployed.output);
  for (const name of ['env.CATALOG', 'env.SHARD', 'env.SHARD_FULL_BYTES', '--dry-run: exiting']) {
    assert.ok(deployed.output.includes(name), deployed.output);
  }
  assert.doesNotMatch(deployed.output, /warning/i);
});

test('the release workflow writes the name of its archive to prebuilt.json and to the button', async (t) => {
  const given = temporaryFolder(t);
  writeFileSync(join(given, 'SHA256SUMS'), `${'ab'.repeat(32)}  tidemark-v9.9.9.tar.gz\n`);
  const { root, run } = clone(t);
  const link = /\(https:\/\/deploy\.workers\.cloudflare\.com\/\?url=https:\/\/github\.com\/([^)]*)\)/g;
  const linked = () => [...readFileSync(join(root, 'README.md'), 'utf8').matchAll(link)].map(([, name]) => name);
  const pin = async (repository) => {
    const { code, output } = await run('scripts/release.mjs', 'pin', 'v9.9.9', repository, given);
    assert.equal(code, 0, output);
  };
  // Before the first release there is no deploy button, because its link would have no target.
  if (!existsSync(at('prebuilt.json'))) assert.deepEqual(linked(), []);
  await pin('some-one/else');
  assert.deepEqual(linked(), ['some-one/else']);
  await pin('some-body/a.database');
  assert.deepEqual(linked(), ['some-body/a.database']);
  assert.deepEqual(JSON.parse(readFileSync(join(root, 'prebuilt.json'), 'utf8')), {
    tag: 'v9.9.9',
    url: 'https://github.com/some-body/a.database/releases/download/v9.9.9/tidemark-v9.9.9.tar.gz',
    sha256: 'ab'.repeat(32),
  });
});
