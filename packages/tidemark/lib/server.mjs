// Starts workerd, restarts it after a crash, and stops it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

import { UserError } from './command.mjs';

/** The maximum time until the database responds. */
const readyMs = 20_000;
const pollMs = 25;

/** The time after SIGTERM for running requests to finish. */
const graceMs = 10_000;

/** The pause between two starts. Each consecutive failure doubles it. */
const pauseMsMin = 100;
const pauseMsMax = 10_000;

/** A process that ran for this time resets the pause. */
const steadyMs = 60_000;

/**
 * Keeps `program` running until [stop] is called. The program inherits the file `mark`. `ask`
 * resolves to whether the database responds. `logEvent(event, more)` logs events.
 */
export class Server {
  constructor({ program, args, env, mark, ask, logEvent }) {
    this.program = program;
    this.args = args;
    this.env = env;
    this.mark = mark;
    this.ask = ask;
    this.logEvent = logEvent;
    this.isStopping = false;
    this.child = null;
    this.pauseMs = pauseMsMin;
  }

  #spawn() {
    /** @type {import('node:child_process').StdioOptions} */
    const stdio = ['ignore', 'inherit', 'inherit', this.mark];
    const child = spawn(this.program, this.args, { env: this.env, stdio });
    this.child = child;
    this.ended = once(child, 'exit').catch((error) => [null, error.message]);
  }

  /** Returns whether the database responds before the process ends and before the timeout. */
  async #ready() {
    let over = false;
    this.ended.then(() => (over = true));
    const deadline = Date.now() + readyMs;
    while (!over && Date.now() < deadline) {
      if (await this.ask()) return true;
      await sleep(pollMs);
    }
    return false;
  }

  /** Starts the program for the first time. Throws a sentence if the start fails. */
  async start() {
    this.#spawn();
    if (await this.#ready()) return;
    if (this.isStopping) return;
    await this.stop();
    throw new UserError('The database did not start; see the output of workerd above.');
  }

  /** Restarts the program after each crash. Resolves when the program was stopped. */
  async watch() {
    for (;;) {
      const since = Date.now();
      const [code, signal] = await this.ended;
      if (this.isStopping) return;
      if (Date.now() - since > steadyMs) this.pauseMs = pauseMsMin;
      this.logEvent('crashed', { code, signal, restart_ms: this.pauseMs });
      await sleep(this.pauseMs);
      this.pauseMs = Math.min(this.pauseMs * 2, pauseMsMax);
      if (this.isStopping) return;
      this.#spawn();
      if (await this.#ready()) this.logEvent('restarted', {});
    }
  }

  /** Ends the program after its running requests have finished. */
  async stop() {
    this.isStopping = true;
    const { child } = this;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
    await this.ended;
    clearTimeout(timer);
  }
}
