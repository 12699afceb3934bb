// Writes log lines of long-running commands as JSON.

import { Sentence } from './command.mjs';

/** Logs an event as a JSON line, like the lines of requests. */
export const tell = (event, more) => console.log(JSON.stringify({ time: new Date().toISOString(), event, ...more }));

const chosen = { all: () => true, errors: ({ grpc_status: status }) => status !== 0, none: () => false };

/**
 * Returns a [tell] for the calls that LOG_REQUESTS selects. Throws a sentence for an unknown value.
 */
export function tellCalls() {
  const text = process.env.LOG_REQUESTS || 'all';
  if (!Object.hasOwn(chosen, text)) throw new Sentence(`LOG_REQUESTS is "${text}": set it to "all", "errors" or "none".`);
  return (event, more) => chosen[text](more) && tell(event, more);
}
