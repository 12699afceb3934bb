// A thread that repeats one request until it receives a message. Its own event loop keeps the
// measured latencies free of the time that the repeated request takes in this program.

import { parentPort, workerData } from 'node:worker_threads';

import { send } from './hostile.mjs';

const { target, request } = workerData;
let [isOver, count, status] = [false, 0, null];
parentPort?.once('message', () => (isOver = true));
while (!isOver) {
  status = await send(target, request);
  count += 1;
}
parentPort?.postMessage({ count, status });
