// What a command that runs on says of itself: lines of JSON.

import { Sentence } from './command.mjs';

/** What happens, as a line of JSON among those of the requests. */
export const tell = (event, more) => console.log(JSON.stringify({ time: new Date().toISOString(), event, ...more }));

const chosen = { all: () => true, errors: ({ grpc_status: status }) => status !== 0, none: () => false };

/** As [tell], of the calls that LOG_REQUESTS asks for. Throws a sentence for what it does not know. */
export function tellCalls() {
  const text = process.env.LOG_REQUESTS || 'all';
  if (!Object.hasOwn(chosen, text)) throw new Sentence(`LOG_REQUESTS is "${text}": choose all, errors or none.`);
  return (event, more) => chosen[text](more) && tell(event, more);
}
