// The entry module of the Worker. It passes requests and objects to the WebAssembly module. After
// an abort it gives the module a new memory, since a panic or a trap leaves the old memory in an
// unknown state. `scripts/modules.mjs` bundles this file with the output of wasm-bindgen.

import { WorkerEntrypoint } from 'cloudflare:workers';

import * as module from './index.js';
import { release } from './runtime.js';

// A panic's stack trace must be long enough to show the cause.
Error.stackTraceLimit = 100;

/**
 * The state shared with the crate `worker`. A panic sets `criticalError`. Each new memory of the
 * module increases `instanceId`.
 */
const state = module.__worker_init_state();

/** Records a trap, which does not call the panic hook: the stack or the memory is exhausted. */
function noticeTrap(error) {
  if (!(error instanceof WebAssembly.RuntimeError)) return;
  console.error('Critical', error);
  state.criticalError = true;
}

// Records traps in code that runs after a call has returned its promise.
addEventListener('error', ({ error }) => noticeTrap(error));

/**
 * Runs the module's tasks in V8's own queue. The runtime's function creates a wrapper for each
 * task. Only a full garbage collection frees a wrapper, which costs more than many tasks.
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

/** Calls the module. Gives it a new memory first if it has aborted. */
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
 * Wraps a class of objects. An object's state is in the object's storage, so that the object is
 * created again in a new memory.
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
      // The module has copied the message.
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
