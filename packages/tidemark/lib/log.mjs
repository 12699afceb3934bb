// Writes the log lines of long-running commands as JSON.

import { UserError } from './command.mjs';

/** Requests and other events are logged in the same format. */
export const logEvent = (event, more) => console.log(JSON.stringify({ time: new Date().toISOString(), event, ...more }));

const chosen = { all: () => true, errors: ({ grpc_status: status }) => status !== 0, none: () => false };

/** LOG_REQUESTS selects the logged calls. Throws a [UserError] if its value is unknown. */
export function requestLogger() {
  const text = process.env.LOG_REQUESTS || 'all';
  if (!Object.hasOwn(chosen, text)) throw new UserError(`LOG_REQUESTS is "${text}": set it to "all", "errors" or "none".`);
  return (event, more) => chosen[text](more) && logEvent(event, more);
}
