// Starts the SQL process and restarts it when it ends.

import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { UserError } from '../../scripts/project.mjs';

const program = fileURLToPath(new URL('./process.mjs', import.meta.url));

/** The pause between the end of the process and its next start. */
const pauseMs = 200;

export class SqlSupervisor {
  #isStopping = false;
  /** @type {import('node:child_process').ChildProcess | null} */
  #child = null;

  /**
   * `port` is the port on which the process listens (0 for any free port). `logEvent(event, more)`
   * is called when a statement is stopped and when the process ends.
   */
  constructor({ folder, port, env, node = process.execPath, logEvent = (_event, _more) => {} }) {
    this.folder = folder;
    this.port = port;
    this.node = node;
    this.env = env;
    this.logEvent = logEvent;
  }

  get pid() {
    return this.#child?.pid;
  }

  /** Resolves to the port. Throws a [UserError] if the start fails. */
  async start() {
    const port = await this.#spawn();
    if (port === null) throw new UserError('SQL did not start; the reason is above.');
    return port;
  }

  /** Resolves to the port when the process is ready, or to null if the process ended first. */
  #spawn() {
    const child = spawn(this.node, [program, this.folder, String(this.port)], {
      env: this.env,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#child = child;
    return new Promise((resolve) => {
      let isReady = false;
      child.on('message', (/** @type {any} */ { event, more }) => {
        if (event !== 'ready') return this.logEvent(event, more);
        isReady = true;
        this.port = more.port;
        return resolve(more.port);
      });
      child.once('error', (error) => console.error(error.message));
      child.once('close', (code, signal) => {
        if (this.#child === child) this.#child = null;
        if (isReady) this.#restart({ code, signal });
        else resolve(null);
      });
    });
  }

  async #restart(how) {
    while (!this.#isStopping) {
      this.logEvent('sql_crashed', how);
      await sleep(pauseMs);
      if (this.#isStopping || (await this.#spawn()) !== null) return;
    }
  }

  stop() {
    this.#isStopping = true;
    const child = this.#child;
    if (!child) return Promise.resolve();
    const ended = new Promise((resolve) => child.once('close', resolve));
    child.kill('SIGKILL');
    return ended;
  }
}
