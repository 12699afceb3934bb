// A thread of the SQL process: the WebAssembly module and its memory. A trap ends the thread.

import { parentPort, workerData } from 'node:worker_threads';

const { code, module } = workerData;
const sql = await import(code);
sql.initSync({ module });

parentPort.on('message', ({ session, message }) => {
  if (!message) {
    sql.end(session);
    return parentPort.postMessage({ memoryBytes: sql.memory_bytes() });
  }
  const reply = sql.turn(session, message);
  return parentPort.postMessage({ reply, isOver: sql.is_over(session), memoryBytes: sql.memory_bytes() }, [reply.buffer]);
});
