// What workerd loads of SQL: it hands messages to sessions of the WebAssembly module, and gives the
// module a new memory after a trap, which leaves the old one in an unknown state. It is bound to
// nothing: what a plan needs is wanted by the reply to a message, and comes with the next one.

import { RpcTarget, WorkerEntrypoint } from 'cloudflare:workers';

import * as module from './index.js';

/** Plans of one instance at a time: they share its memory. */
const sessionsMax = 2;
/** How long one waits for its turn, and how often it looks, milliseconds. */
const waitMsMax = 10_000;
const pauseMs = 20;
/** Who waits and has not looked for so long is gone. */
const goneMs = 1_000;
/** One that was asked nothing for so long makes room for who waits: its reader takes nothing. */
const idleMs = 8_000;
/** A module that holds more is given a new memory once nothing runs: it gives none back. */
const keptBytesMax = 64 * 1024 * 1024;

let lastNumber = 0;
/** Those that have a plan in the module's memory. @type {Set<Session>} */
let running = new Set();
/** @type {{ seenMs: number }[]} */
let waiting = [];

/** Gives the module a new memory. The plans in the old one are gone. */
function renew() {
  for (const session of running) session.isBroken = true;
  running = new Set();
  module.__wbg_reset_state();
}

/** Runs a call into the module, which answers whatever it is sent: what it throws is a trap. */
function enter(call) {
  try {
    return call();
  } catch (error) {
    console.error('Critical', error);
    renew();
    throw new Error('a query used up its stack or its memory', { cause: error });
  }
}

/** Ends a plan. */
function leave(session) {
  if (!running.delete(session)) return;
  enter(() => module.end(session.number));
  if (running.size === 0 && enter(() => module.memory_bytes()) > keptBytesMax) renew();
}

/** Whether there is room for another plan. */
function hasRoom() {
  const now = Date.now();
  for (const session of running) {
    if (running.size < sessionsMax) break;
    if (now - session.seenMs < idleMs) continue;
    session.isBroken = true;
    leave(session);
  }
  return running.size < sessionsMax;
}

/** Waits until it is this one's turn. */
async function turnToRun() {
  const own = { seenMs: Date.now() };
  const endMs = own.seenMs + waitMsMax;
  waiting.push(own);
  try {
    for (;;) {
      own.seenMs = Date.now();
      waiting = waiting.filter((one) => own.seenMs - one.seenMs < goneMs);
      if (waiting[0] === own && hasRoom()) return;
      if (own.seenMs > endMs) throw new Error('too many queries at once: repeat it later');
      await scheduler.wait(pauseMs);
    }
  } finally {
    waiting = waiting.filter((one) => one !== own);
  }
}

class Session extends RpcTarget {
  number = ++lastNumber;
  seenMs = Date.now();
  /** Its plan was lost. */
  isBroken = false;

  /** The reply to a message. */
  async turn(message) {
    if (!running.has(this) && !this.isBroken) {
      await turnToRun();
      running.add(this);
    }
    if (this.isBroken) throw new Error('the query made room for others, or went down with one');
    this.seenMs = Date.now();
    const reply = enter(() => module.turn(this.number, message));
    if (enter(() => module.is_over(this.number))) leave(this);
    // Turn after turn the runtime would not look after its sockets.
    else if (enter(() => module.is_cut_short(this.number))) await scheduler.wait(0);
    return reply;
  }

  /** Nothing more is asked of it. */
  end() {
    leave(this);
  }
}

export default class extends WorkerEntrypoint {
  /** A session, which waits for its turn when it is asked first. */
  open() {
    return new Session();
  }
}
