// Starts a separate server for each end-to-end test. Each server has a new state, a free port and a
// token.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { consoleFolder } from '../../scripts/console.mjs';
import { freePort, isFree, startServer } from '../../scripts/dev-server.mjs';
import { hasSql } from '../../scripts/modules.mjs';
import { startNative } from '../../scripts/native.mjs';
import { endAllOnSignals, signalGroup } from '../../scripts/processes.mjs';
import { startWorkerd } from './workerd.mjs';

endAllOnSignals();

/** Every server under test has this token, unless the test configures no token. */
export const token = 'token-of-the-tests';

/**
 * Whether the tests run against the native host (`native/`) instead of the Worker on workerd. A test with the option
 * `script` or the class `WorkerHost` or `PlainWorkerHost` always runs on workerd. The following files test the
 * platform, or a program around the Worker:
 *
 * - `cloudflare_access`, a test of `recover`: features of the platform.
 * - `damage`, `dropped`, `faults`, `kill_steps`, `overwrites`: they need the hooks of tests/fault, which replace the
 *   script.
 * - `deploy`, `miniflare`, `package`, `prebuilt`, `release`, `service_binding`, `start`, `upgrade`,
 *   `wrangler`: they start workerd, wrangler or the npm package themselves. So does a test of `packed`.
 * - `flight_headers`: it expects that gRPC is rejected, and the native host accepts gRPC.
 * - `memory`, `stalls`: they measure or stop the isolate.
 * - `sql_*`: they replace the SQL module with one that fails. For the native host,
 *   native/tests/host/sql.rs kills the SQL process instead.
 */
export const isNative = process.env.TIDEMARK_HOST === 'native';

/** The reason why tests of SQL are skipped, or false. The native program always includes SQL. */
export const withoutSql = !isNative && !hasSql() && 'SQL is not built: npm run sql';

/** A server under test. `start` after `stop` or `kill` starts the server with the same data. */
export class Tidemark {
  constructor(folder, port, options) {
    this.folder = folder;
    this.port = port;
    this.options = options;
    this.isNative = isNative && options.script === undefined;
    this.headers = { Authorization: `Token ${token}` };
  }

  async start() {
    const { vars = {}, secret = token, ...more } = this.options;
    if (this.isNative) {
      const data = join(this.folder, 'data');
      const log = more.stdio?.[1] ?? null;
      this.server = await startNative({ port: this.port, data, vars, secret, backups: more.backups, log });
      this.url = this.server.url;
      return;
    }
    const envFile = join(this.folder, 'secrets');
    writeFileSync(envFile, secret === null ? '' : `ADMIN_TOKEN=${secret}\n`);
    const stateDir = join(this.folder, 'state');
    const node = process.execPath;
    this.server = await startServer({ node, port: this.port, stateDir, vars, envFile, ...more });
    this.url = this.server.url;
  }

  /** Ends the server in the same way as Ctrl-C. */
  async stop() {
    await this.server?.stop();
  }

  /** Kills every process of the server at the same time with SIGKILL. */
  async kill() {
    signalGroup(this.server.child, 'SIGKILL');
    await this.server.child.ended;
    // The operating system may not have closed the listening socket yet.
    while (!(await isFree(this.port))) await sleep(10);
  }

  /** `path` starts with a slash. */
  fetch(path, init = {}) {
    const headers = { ...this.headers, ...init.headers };
    return fetch(`${this.url}${path}`, { ...init, headers });
  }

  /** Throws on any status except 200. */
  async query(q, params = {}) {
    const body = new URLSearchParams({ q, ...params });
    const response = await this.fetch('/query', { method: 'POST', body });
    const text = await response.text();
    if (response.status !== 200) throw new Error(`/query answered ${response.status}: ${text}`);
    return JSON.parse(text);
  }

  /** `lines` is text or bytes. */
  write(lines, params = {}, headers = {}) {
    const search = new URLSearchParams(params);
    return this.fetch(`/write?${search}`, { method: 'POST', body: lines, headers });
  }

  async mustWrite(lines, params, headers) {
    const response = await this.write(lines, params, headers);
    assert.equal(response.status, 204, await response.text());
  }

  /** Returns the series that a single statement returns. A statement error fails the test. */
  async series(q, params) {
    const { results } = await this.query(q, params);
    assert.equal(results.length, 1, q);
    assert.equal(results[0].error, undefined, `${q}: ${results[0].error}`);
    return results[0].series ?? [];
  }

  /** Returns the rows of the only series. Without a series, returns no rows. */
  async rows(q, params) {
    const series = await this.series(q, params);
    assert.ok(series.length <= 1, `${q} has ${series.length} series`);
    return series[0]?.values ?? [];
  }
}

/** Always starts the native program. The test must build the program first. */
export class NativeHost extends Tidemark {
  isNative = true;
}

/** Always starts the Worker. */
export class WorkerHost extends Tidemark {
  isNative = false;
}

/**
 * Starts the Worker on plain workerd, without static files and SQL. Such a start needs a fraction of the CPU time of
 * wrangler, and a kill ends only workerd. The options are `vars`, `secret`, `script` and `stdio`. A `script` imports
 * only the built Worker.
 */
export class PlainWorkerd extends Tidemark {
  /** A folder of static files. */
  site = undefined;

  async start() {
    if (this.isNative) return super.start();
    const { vars, secret = token, script, stdio } = this.options;
    const { port, site } = this;
    this.server = await startWorkerd(this.folder, secret, { port, vars, script, stdio, site });
    this.url = this.server.url;
  }
}

/** Always starts the Worker, on plain workerd. */
export class PlainWorkerHost extends PlainWorkerd {
  isNative = false;
}

/** Starts the Worker on plain workerd with the files of the console. */
export class PlainConsole extends PlainWorkerd {
  site = consoleFolder;
}

/** The temporary folders that exist. If this process ends before its tests, it deletes them at its exit. */
const folders = new Set();
process.on('exit', () => folders.forEach(deleteFolder));

function newFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-test-'));
  folders.add(folder);
  return folder;
}

/** Deletes a folder, and tries again if a process that is still ending writes into it. */
function deleteFolder(folder) {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  folders.delete(folder);
}

/** Creates a folder that is deleted after the test `t`. */
export function temporaryFolder(t) {
  const folder = newFolder();
  t.after(() => deleteFolder(folder));
  return folder;
}

/** Resolves to the origin of the HTTP server, which ends after the test `t`. */
export async function listening(t, server) {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(null)));
  t.after(() => new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  }));
  return `http://127.0.0.1:${server.address().port}`;
}

/**
 * `options.vars` are settings of the Worker. `options.secret: null` starts the server without a
 * token. `startServer` describes all further options. `Kind` is a subclass that starts another
 * server.
 */
export async function tidemark(t, options = {}, Kind = Tidemark) {
  const folder = newFolder();
  const it = new Kind(folder, await freePort(), options);
  t.after(async () => {
    await it.stop();
    deleteFolder(folder);
  });
  await it.start();
  return it;
}

/** Creates a token for one database. */
export async function databaseToken(server, database, { actions = ['read', 'write'], name = `of ${database}` } = {}) {
  const permissions = [{ resource_type: 'db', resource_identifier: [database], actions }];
  const body = JSON.stringify({ token_name: name, permissions });
  const response = await server.fetch('/api/v3/enterprise/configure/token', { method: 'POST', body });
  assert.equal(response.status, 201);
  return (await response.json()).token;
}

/**
 * Returns whether `program` can run. If not, skips the test, or fails if all programs are required.
 */
export function has(t, program, args = ['--version']) {
  if (spawnSync(program, args, { stdio: 'ignore' }).error === undefined) return true;
  if (process.env.TIDEMARK_REQUIRE_PROGRAMS === '1') {
    throw new Error(`${program} is not installed, and TIDEMARK_REQUIRE_PROGRAMS is 1`);
  }
  t.skip(`${program} is not installed`);
  return false;
}
