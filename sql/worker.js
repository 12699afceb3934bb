// Implements the SQL Worker of a deployment, which forwards messages to the sessions of the
// WebAssembly module. After a trap, the content of the module's memory is undefined, so the Worker
// gives the module a new memory. The Worker has no bindings. Each reply lists the data that a plan
// needs, and the next message contains this data.

import { RpcTarget, WorkerEntrypoint } from 'cloudflare:workers';

import { Sessions } from '#sql_sessions';
import * as module from './index.js';

/** The memory size above which an idle module gets a new memory, in bytes. WebAssembly memory never shrinks. */
const idleBytesMax = 64 * 1024 * 1024;

/**
 * Calls a function of the module. The module returns a reply to every message, so an exception can
 * only be a trap.
 */
function enter(call) {
  try {
    return call();
  } catch (error) {
    console.error('Critical', error);
    module.__wbg_reset_state();
    throw new Error('a query exhausted its stack or its memory', { cause: error });
  }
}

const engine = {
  async turn(session, message) {
    const reply = enter(() => module.turn(session, message));
    const isOver = enter(() => module.is_over(session));
    // Between turns, the pause lets the runtime serve its sockets.
    if (!isOver && enter(() => module.is_cut_short(session))) await scheduler.wait(0);
    return { reply, isOver };
  },
  end(session) {
    enter(() => module.end(session));
  },
  settle() {
    if (enter(() => module.memory_bytes()) > idleBytesMax) module.__wbg_reset_state();
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
