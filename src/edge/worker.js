// What workerd loads: it hands requests and objects to the WebAssembly module, and gives the module
// a new memory after it has aborted, since a panic or a trap leaves the old one in an unknown state.
// `scripts/modules.mjs` bundles it with what wasm-bindgen writes beside it.

import { WorkerEntrypoint } from 'cloudflare:workers';

import * as module from './index.js';
import { release } from './runtime.js';

// The stack of a panic has to reach its cause.
Error.stackTraceLimit = 100;

/**
 * Shared with the crate `worker`: a panic sets `criticalError`; each memory that the module is given
 * makes `instanceId` larger.
 */
const state = module.__worker_init_state();

/** A trap is what no panic hook sees: the stack or the memory is used up. */
function noticeTrap(error) {
  if (!(error instanceof WebAssembly.RuntimeError)) return;
  console.error('Critical', error);
  state.criticalError = true;
}

// Traps in what runs after a call has returned its promise.
addEventListener('error', ({ error }) => noticeTrap(error));

/**
 * The module's tasks go on in V8's own queue: what the runtime's function makes of each, a wrapper
 * that only a whole collection frees, costs more than many of them.
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

/** Runs a call into the module, which has a new memory if the last one was aborted in. */
function enter(call) {
  if (state.criticalError) {
    console.log('The module aborted: it gets a new memory');
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

/** A class of objects. Their state is in their storage: in a new memory each is made once more. */
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
      // The module has a copy.
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
