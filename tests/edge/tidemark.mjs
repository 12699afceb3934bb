// A fresh server per test file, and the few HTTP calls that every test makes.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import { freePort, startServer } from '../../scripts/dev-server.mjs';
import { signalGroup } from '../../scripts/processes.mjs';

/** The admin token of every server under test. */
export const token = 'test-admin-token';

/** A server with empty state on a free port, and what tests do with it. */
export class Tidemark {
  #folder = mkdtempSync(join(tmpdir(), 'tidemark-'));
  #vars;
  #server;

  /** `vars` are settings of the Worker. */
  constructor(vars = {}) {
    this.#vars = vars;
  }

  /** Starts the server; again after `kill` on the same state. */
  async start() {
    const envFile = join(this.#folder, 'vars');
    writeFileSync(envFile, `ADMIN_TOKEN=${token}\n`);
    this.#server = await startServer({
      node: process.execPath,
      port: await freePort(),
      stateDir: this.stateDir,
      vars: this.#vars,
      envFile,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    this.url = this.#server.url;
    return this;
  }

  /** Where the server keeps its state. */
  get stateDir() {
    return join(this.#folder, 'state');
  }

  /** Ends every process of the server at once, without a word of warning. */
  async kill() {
    signalGroup(this.#server.child, 'SIGKILL');
    await this.#server.child.ended;
  }

  /** Ends the server and removes its state. */
  async stop() {
    await this.#server?.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** One request with the admin token unless `headers` say otherwise. */
  fetch(path, { headers = {}, ...init } = {}) {
    const all = { Authorization: `Token ${token}`, ...headers };
    return fetch(this.url + path, { headers: all, ...init });
  }

  /** Writes line protocol to `/write`, gzipped if asked; answers with the response. */
  write(db, lines, { precision = 'ns', gzip = false, rp = '' } = {}) {
    const query = new URLSearchParams({ db, precision, rp });
    const body = gzip ? gzipSync(lines) : lines;
    const headers = gzip ? { 'Content-Encoding': 'gzip' } : {};
    return this.fetch(`/write?${query}`, { method: 'POST', body, headers });
  }

  /** Writes and expects 204. */
  async mustWrite(db, lines, options) {
    const response = await this.write(db, lines, options);
    assert.equal(response.status, 204, await response.text());
  }

  /** Runs InfluxQL and answers with the results of all statements; an error fails the test. */
  async query(q, params = {}) {
    const body = new URLSearchParams({ q, epoch: 'ns', ...params });
    const response = await this.fetch('/query', { method: 'POST', body });
    const text = await response.text();
    assert.equal(response.status, 200, text);
    const { results } = JSON.parse(text);
    for (const result of results) assert.equal(result.error, undefined, `${q}: ${result.error}`);
    return results;
  }

  /** The series of a single statement. */
  async series(q, params) {
    const [result] = await this.query(q, params);
    return result.series ?? [];
  }

  /** The rows of the only series of a single statement. */
  async rows(q, params) {
    const series = await this.series(q, params);
    assert.ok(series.length <= 1, `${q} has ${series.length} series`);
    return series[0]?.values ?? [];
  }
}
