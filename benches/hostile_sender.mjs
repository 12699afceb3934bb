// A process that repeats one request until it receives a second message. The first message is the
// request. The sender is a separate process, so that it can have a lower priority.

import { once } from 'node:events';

import { send } from './hostile.mjs';

const [{ target, request }] = await once(process, 'message');
let [isOver, count, status] = [false, 0, null];
process.once('message', () => (isOver = true));
while (!isOver) {
  status = await send(target, request);
  count += 1;
}
process.send({ count, status });
process.disconnect();
