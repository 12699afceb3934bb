// Defines the entry module of the Worker, which passes requests and calls of objects to the
// WebAssembly module. After a panic or trap, the content of the module's memory is undefined, so
// the module gets a new memory. `scripts/modules.mjs` bundles this file with the output of
// wasm-bindgen.

import { DurableObject, WorkerEntrypoint } from 'cloudflare:workers';

import * as module from './index.js';
import { release } from './runtime.js';

// The stack trace of a panic must be long enough to show the cause.
Error.stackTraceLimit = 100;

/**
 * The state that this file shares with the crate `worker`. A panic sets `criticalError`.
 * `instanceId` increases whenever the module gets a new memory.
 */
const state = module.__worker_init_state();

/**
 * Records a trap. A trap does not call the panic hook, because the stack or memory is exhausted.
 */
function noticeTrap(error) {
  if (!(error instanceof WebAssembly.RuntimeError)) return;
  console.error('Critical', error);
  state.criticalError = true;
}

// Records traps in code that runs after a call has returned a promise.
addEventListener('error', ({ error }) => noticeTrap(error));

/**
 * Runs the module's tasks in V8's queue. The runtime's `queueMicrotask` creates a wrapper for each
 * task. Only a full garbage collection frees these wrappers, and such a collection costs more than
 * many tasks.
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

/** Calls the module. If the module has aborted, first gives the module a new memory. */
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
 * Wraps the class of an object. If the module got a new memory, the wrapper creates the object
 * again. The new object reads its state from storage.
 */
const durable = (Class) =>
  class extends DurableObject {
    #args;
    #object;
    #instanceId;

    constructor(...args) {
      super(...args);
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

    async answer(message) {
      const reply = enter(() => this.#current().answer(message));
      // The module has copied the message, so its bytes can be released.
      release(message);
      return reply;
    }

    alarm() {
      return enter(() => this.#current().alarm());
    }
  };

export const Catalog = durable(module.Catalog);
export const Database = durable(module.Database);
export const Shard = durable(module.Shard);
