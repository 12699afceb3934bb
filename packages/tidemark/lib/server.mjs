// One workerd that is looked after: started, started again when it breaks off, and ended.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

import { Sentence } from './command.mjs';

/** How long it may take until the database answers. */
const readyMs = 20_000;
const pollMs = 25;

/** What is under way may come to its end after SIGTERM. */
const graceMs = 10_000;

/** Between two starts; each failure in a row doubles it. */
const pauseMsMin = 100;
const pauseMsMax = 10_000;

/** Whoever ran for so long did not fail at its start. */
const steadyMs = 60_000;

/**
 * Keeps `program` running until [stop] is called. It inherits the file `mark`. `ask` resolves to whether the database answers.
 * `tell(event, more)` is told what happens.
 */
export class Server {
  constructor({ program, args, env, mark, ask, tell }) {
    this.program = program;
    this.args = args;
    this.env = env;
    this.mark = mark;
    this.ask = ask;
    this.tell = tell;
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

  /** Whether it answers before it ends; false when it ended or took too long. */
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

  /** Starts it for the first time; throws a sentence if that fails. */
  async start() {
    this.#spawn();
    if (await this.#ready()) return;
    if (this.isStopping) return;
    await this.stop();
    throw new Sentence('The database did not start; what workerd said is above.');
  }

  /** Starts it again whenever it breaks off; resolves when it was stopped. */
  async watch() {
    for (;;) {
      const since = Date.now();
      const [code, signal] = await this.ended;
      if (this.isStopping) return;
      if (Date.now() - since > steadyMs) this.pauseMs = pauseMsMin;
      this.tell('crashed', { code, signal, restart_ms: this.pauseMs });
      await sleep(this.pauseMs);
      this.pauseMs = Math.min(this.pauseMs * 2, pauseMsMax);
      if (this.isStopping) return;
      this.#spawn();
      if (await this.#ready()) this.tell('restarted', {});
    }
  }

  /** Lets it finish what is under way, and ends it. */
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
