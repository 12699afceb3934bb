// The SQL Worker of a deployment: passes messages to sessions of the WebAssembly module, and gives the module a new
// memory after a trap, which leaves the old one in an unknown state. It has no bindings: a reply says what a plan needs,
// and the next message brings it.

import { RpcTarget, WorkerEntrypoint } from 'cloudflare:workers';

import { Sessions } from '#sql_sessions';
import * as module from './index.js';

/** A module that holds more gets a new memory once nothing runs: WebAssembly memory never shrinks. */
const keptBytesMax = 64 * 1024 * 1024;

/** Runs a call into the module. The module replies to every message, so an exception is a trap. */
function enter(call) {
  try {
    return call();
  } catch (error) {
    console.error('Critical', error);
    module.__wbg_reset_state();
    throw new Error('a query used up its stack or its memory', { cause: error });
  }
}

const engine = {
  async turn(session, message) {
    const reply = enter(() => module.turn(session, message));
    const isOver = enter(() => module.is_over(session));
    // Without a pause the runtime would not serve its sockets between turns.
    if (!isOver && enter(() => module.is_cut_short(session))) await scheduler.wait(0);
    return { reply, isOver };
  },
  end(session) {
    enter(() => module.end(session));
  },
  settle() {
    if (enter(() => module.memory_bytes()) > keptBytesMax) module.__wbg_reset_state();
  },
};

const sessions = new Sessions(engine);

class Stub extends RpcTarget {
  #session = sessions.open();

  turn(message) {
    return this.#session.turn(message);
  }

  end() {
    return this.#session.end();
  }
}

export default class extends WorkerEntrypoint {
  open() {
    return new Stub();
  }
}
