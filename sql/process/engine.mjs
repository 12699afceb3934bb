// Runs the SQL module in a monitored thread. A statement that computes for too long or uses too
// much memory ends together with its thread; the next statement gets a new thread.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';

import { lost, stopped } from '../sessions.js';

const defaultLimits = {
  /** Turns of ordinary statements take less than one second. */
  turnMs: 5_000,
  /** The maximum memory of the process during a turn. */
  processBytes: 1024 * 1024 * 1024,
  /** A thread with more memory is replaced, because WebAssembly memory never shrinks. */
  idleBytes: 64 * 1024 * 1024,
  /** The time between two checks of a turn. */
  checkMs: 250,
};

const thread = new URL('./thread.mjs', import.meta.url);
const trap = 'a query exhausted its stack or its memory';
const cpuMs = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
};

/**
 * The SQL module in a monitored thread. Calls `logEvent(event, more)` when it stops a statement.
 */
export class Engine {
  #last = Promise.resolve();
  #pending = null;
  #memoryBytes = 0;

  /** `folder` contains `module.mjs` and `index_bg.wasm`. */
  static async load(folder, { logEvent = (_event, _more) => {}, limits = {} }) {
    const module = await WebAssembly.compile(await readFile(join(folder, 'index_bg.wasm')));
    return new Engine({ module, code: pathToFileURL(join(folder, 'module.mjs')).href }, { ...defaultLimits, ...limits }, logEvent);
  }

  constructor(workerData, limits, logEvent) {
    this.workerData = workerData;
    this.limits = limits;
    this.logEvent = logEvent;
    this.worker = this.#start();
  }

  #start() {
    const worker = new Worker(thread, { workerData: this.workerData });
    this.#memoryBytes = 0;
    worker.on('message', (reply) => this.#settle(worker, ({ resolve }) => resolve(reply)));
    worker.on('error', (error) => {
      console.error('Critical', error);
      this.#drop(worker, new Error(trap));
    });
    return worker;
  }

  #settle(worker, settle) {
    if (worker !== this.worker || !this.#pending) return;
    const pending = this.#pending;
    this.#pending = null;
    clearInterval(pending.timer);
    settle(pending);
  }

  /** Rejects the call in progress with `error`. The next call starts a new thread. */
  #drop(worker, error) {
    if (worker !== this.worker) return;
    this.#settle(worker, ({ reject }) => reject(error));
    this.worker = null;
    worker.terminate();
  }

  /** A statement must not be stopped because the machine is busy, so CPU time also counts. */
  #check(worker, since) {
    const { turnMs, processBytes } = this.limits;
    const bytes = process.memoryUsage.rss();
    let why = null;
    if (Date.now() - since.ms >= turnMs && cpuMs() - since.cpuMs >= turnMs) {
      why = `it ran for more than ${turnMs / 1_000} seconds without a pause`;
    } else if (bytes > processBytes) why = `it used more than ${Math.round(processBytes / 2 ** 20)} MiB of memory`;
    if (why === null) return;
    this.logEvent('sql_stopped', { why, memory_bytes: bytes });
    this.#drop(worker, new Error(`${stopped}the statement was stopped: ${why}; use simpler functions, or fewer rows`));
  }

  #call(message, transfer) {
    this.worker ??= this.#start();
    const { worker } = this;
    const since = { ms: Date.now(), cpuMs: cpuMs() };
    return new Promise((resolve, reject) => {
      const timer = setInterval(() => this.#check(worker, since), this.limits.checkMs);
      this.#pending = { resolve, reject, timer };
      worker.postMessage(message, transfer);
    });
  }

  /**
   * Sends a call after all earlier calls have returned. Only one call computes at a time, so a
   * stopped call is always the call that computes.
   */
  async #inOrder(message, transfer) {
    const { worker } = this;
    const before = this.#last;
    const reply = before.then(() => {
      if (worker !== this.worker) throw new Error(`${lost}another statement stopped its thread`);
      return this.#call(message, transfer);
    });
    this.#last = reply.catch(() => {});
    const { memoryBytes, ...rest } = await reply;
    this.#memoryBytes = memoryBytes;
    return rest;
  }

  turn(session, message) {
    return this.#inOrder({ session, message }, [message.buffer]);
  }

  end(session) {
    return this.#inOrder({ session }, []);
  }

  settle() {
    if (this.#memoryBytes > this.limits.idleBytes) this.#drop(this.worker, new Error(trap));
  }
}
