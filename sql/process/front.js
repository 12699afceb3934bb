// Replaces the SQL Worker under wrangler: forwards messages to the local SQL process.

import { RpcTarget, WorkerEntrypoint } from 'cloudflare:workers';

/**
 * The maximum time for which a call waits for a process that has ended. The call tries again after
 * each pause.
 */
const waitMsMax = 15_000;
const pauseMs = 250;

class Session extends RpcTarget {
  #name = crypto.randomUUID();
  #env;

  constructor(env) {
    super();
    this.#env = env;
  }

  #call(method, body) {
    return fetch(`${this.#env.PROCESS_URL}${this.#name}`, { method, body });
  }

  async turn(message) {
    let response;
    try {
      response = await this.#call('POST', message);
      if (response.ok) return new Uint8Array(await response.arrayBuffer());
    } catch (error) {
      await this.#restarted();
      throw new Error(`lost: the SQL process ended (${error.message})`, { cause: error });
    }
    throw new Error(await response.text());
  }

  /** After the restart, the database restarts the statement. */
  async #restarted() {
    for (let leftMs = waitMsMax; leftMs > 0; leftMs -= pauseMs) {
      await scheduler.wait(pauseMs);
      const response = await this.#call('DELETE').catch(() => null);
      if (response) return;
    }
  }

  /** If the process has ended, so has the statement. */
  async end() {
    await this.#call('DELETE').catch(() => {});
  }
}

export default class extends WorkerEntrypoint {
  open() {
    return new Session(this.env);
  }
}
