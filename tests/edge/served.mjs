// Installs the packed npm package into an empty folder, and runs its server.

import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

import { freePort } from '../../scripts/dev-server.mjs';
import { packPackage } from '../../scripts/package.mjs';
import { endGroup, must, startGroup } from '../../scripts/processes.mjs';
import { at, npm } from '../../scripts/project.mjs';
import { Tidemark, token } from './harness.mjs';
import { packageRegistry } from './package_registry.mjs';

/** Installs the packed package. Resolves to the path of the folder with the package. */
export async function installed(t) {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-installed-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const archive = await packPackage(folder);
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n');
  const registry = await packageRegistry(t);
  const [command, first] = npm();
  const flags = ['--registry', registry, '--cache', join(folder, '.npm'), '--ignore-scripts', '--no-audit', '--no-fund'];
  await must('Installing the package', command, [...first, '--prefix', folder, 'install', ...flags, archive], { quiet: true });
  return folder;
}

/**
 * Copies an installed package, and replaces its modules with the recorded modules of `release`.
 * Returns the new folder.
 */
export function installedRelease(t, install, release) {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-release-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  cpSync(install, folder, { recursive: true, verbatimSymlinks: true });
  for (const name of ['index.js', 'index_bg.wasm']) {
    const recorded = readFileSync(at('tests', 'data', 'releases', release, `${name}.gz`));
    writeFileSync(join(folder, 'node_modules', 'tidemark', 'built', name), gunzipSync(recorded));
  }
  return folder;
}

/** Returns the path of the program in an installed package. */
export const programIn = (folder) => join(folder, 'node_modules', '.bin', 'tidemark');

/** Runs `tidemark WORDS…` until it ends. Resolves to `{ code, output, said }`. */
export function tidemarkProgram(folder, words, { input = '', env = {} } = {}) {
  const child = spawn(programIn(folder), words, { cwd: folder, env: { ...process.env, ...env } });
  const texts = { output: '', said: '' };
  child.stdout.on('data', (piece) => (texts.output += piece));
  child.stderr.on('data', (piece) => (texts.said += piece));
  child.stdin.end(input);
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, ...texts })));
}

/**
 * A server of `tidemark serve`. It extends [Tidemark]. Its `options` are `vars`, `words` and
 * `install`.
 */
export class Served extends Tidemark {
  async start() {
    const { vars = {}, words = [], install } = this.options;
    const env = { ...process.env, ADMIN_TOKEN: token, LOG_REQUESTS: 'none', ...vars };
    const line = ['serve', '--port', String(this.port), '--data', join(this.folder, 'data'), ...words];
    const child = startGroup(programIn(install), line, { cwd: this.folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.server = { child, stop: () => endGroup(child) };
    this.log = '';
    await new Promise((resolve, reject) => {
      const take = (piece) => {
        this.log += piece;
        const started = this.events().find(({ event }) => event === 'started');
        if (started) resolve((this.url = started.url));
      };
      child.stdout.on('data', take);
      child.stderr.on('data', take);
      child.ended.then(() => reject(new Error(`it ended: ${this.log}`)));
    });
  }

  /** Returns the events in the log. Ignores lines that are not JSON. */
  events() {
    return this.log.split('\n').filter((line) => line.startsWith('{') && line.endsWith('}')).map((line) => JSON.parse(line));
  }
}

/** Starts a server for the test `t`, like `tidemark` in harness.mjs. */
export async function served(t, options) {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-served-'));
  const it = new Served(folder, await freePort(), options);
  t.after(async () => {
    await it.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  await it.start();
  return it;
}
