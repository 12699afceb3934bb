// Defines the entry module of the Worker, which passes requests and objects to the WebAssembly
// module. A panic or a trap leaves the module's memory in an unknown state, so the module then gets
// a new memory. `scripts/modules.mjs` bundles this file with the output of wasm-bindgen.

import { WorkerEntrypoint } from 'cloudflare:workers';

import * as module from './index.js';
import { release } from './runtime.js';

// Makes a panic's stack trace long enough to show the cause.
Error.stackTraceLimit = 100;

/**
 * The state that this file shares with the crate `worker`. A panic sets `criticalError`. Each new
 * memory of the module increases `instanceId`.
 */
const state = module.__worker_init_state();

/**
 * Records a trap. A trap does not call the panic hook, because the stack or the memory is
 * exhausted.
 */
function noticeTrap(error) {
  if (!(error instanceof WebAssembly.RuntimeError)) return;
  console.error('Critical', error);
  state.criticalError = true;
}

// Records traps in code that runs after the call has returned a promise.
addEventListener('error', ({ error }) => noticeTrap(error));

/**
 * Runs the module's tasks in V8's own queue. The runtime's `queueMicrotask` creates a wrapper for
 * each task. Only a full garbage collection frees the wrappers, and it costs more than many tasks.
 */
globalThis.queueMicrotask = (task) => {
  Promise.resolve().then(() => {
    try {
      task();
    } catch (error) {
      reportError(error);
    }
  });
};

/** Calls the module. If the module has aborted, gives it a new memory first. */
function enter(call) {
  if (state.criticalError) {
    console.log('The module aborted: the Worker creates a new memory for it');
    module.__wbg_reset_state();
    state.criticalError = false;
    state.instanceId += 1;
  }
  try {
    return call();
  } catch (error) {
    noticeTrap(error);
    throw error;
  }
}

export default class extends WorkerEntrypoint {
  fetch(request) {
    return enter(() => module.fetch(request, this.env, this.ctx));
  }
}

/**
 * Wraps the class of an object. The wrapper creates the object again after the module got a new
 * memory, because the object's state is in its storage.
 */
const durable = (Class) =>
  class {
    #args;
    #object;
    #instanceId;

    constructor(...args) {
      this.#args = args;
      enter(() => this.#current());
    }

    #current() {
      if (this.#instanceId === state.instanceId) return this.#object;
      try {
        this.#object = new Class(...this.#args);
        this.#instanceId = state.instanceId;
        return this.#object;
      } catch (error) {
        state.criticalError = true;
        throw error;
      }
    }

    async fetch(request) {
      const message = new Uint8Array(await request.arrayBuffer());
      const answer = enter(() => this.#current().answer(message));
      // Releases the message, because the module has copied it.
      release(message);
      return new Response(await answer);
    }

    alarm() {
      return enter(() => this.#current().alarm());
    }
  };

export const Catalog = durable(module.Catalog);
export const Database = durable(module.Database);
export const Shard = durable(module.Shard);
