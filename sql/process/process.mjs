// The SQL process: `node process.mjs FOLDER PORT`. Listens on PORT of this machine for messages of
// front.js. Runs the module in FOLDER. Ends when its parent process ends.

import { createServer } from 'node:http';
import { setPriority } from 'node:os';

import { Engine } from './engine.mjs';
import { Sessions } from '../sessions.js';

/** The maximum size of a message, in bytes: MESSAGE_BYTES_MAX of the database plus a margin. */
const messageBytesMax = 32 * 1024 * 1024;
/** A session without a message for this time is ended, because its client has disconnected. */
const idleMsMax = 600_000;
const sweepMs = 60_000;

// Lowers the priority of this process, so that writes and InfluxQL run first if all cores are busy.
setPriority(10);
const [folder, port] = process.argv.slice(2);
/**
 * The secret prefix of all paths. It is necessary because every local user can connect to a port.
 */
const base = process.env.SQL_BASE;

// The server finishes its requests on these signals, and then ends this process.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {});
process.on('disconnect', () => process.exit());

const limits = process.env.SQL_LIMITS ? JSON.parse(process.env.SQL_LIMITS) : {};
const engine = await Engine.load(folder, { logEvent: (event, more) => process.send({ event, more }), limits });
const sessions = new Sessions(engine);
/** @type {Map<string, import('../sessions.js').Session>} */
const byName = new Map();

async function bodyOf(request) {
  const pieces = [];
  let bytes = 0;
  for await (const piece of request) {
    bytes += piece.length;
    if (bytes > messageBytesMax) throw new Error('the message is too large');
    pieces.push(piece);
  }
  // A copy whose buffer can be transferred to the thread.
  const body = new Uint8Array(bytes);
  pieces.reduce((at, piece) => (body.set(piece, at), at + piece.length), 0);
  return body;
}

async function respond({ method, name, request }) {
  const session = byName.get(name) ?? sessions.open();
  if (method === 'DELETE') {
    byName.delete(name);
    await session.end();
    return new Uint8Array();
  }
  byName.set(name, session);
  return session.turn(await bodyOf(request));
}

const server = createServer(async (request, response) => {
  const { method, url } = request;
  if (!url.startsWith(base)) return response.writeHead(404).end();
  try {
    response.end(await respond({ method, name: url.slice(base.length), request }));
  } catch (error) {
    response.writeHead(503).end(error.message);
  }
});
// workerd closes its idle connections.
Object.assign(server, { keepAliveTimeout: 0, headersTimeout: 0, requestTimeout: 0 });

setInterval(() => {
  for (const [name, session] of byName) {
    if (Date.now() - session.seenMs < idleMsMax) continue;
    byName.delete(name);
    session.end().catch(() => {});
  }
}, sweepMs).unref();

server.listen({ port: Number(port), host: '127.0.0.1' }, () => process.send({ event: 'ready', more: server.address() }));
