// The temporary Worker of `tidemark probe`. Each path performs one measurement that needs the real
// platform. The clock of a Worker does not advance during a computation, so the client measures the
// computing time.

import { DurableObject } from 'cloudflare:workers';

import { held } from './memory.js';

export class Probe extends DurableObject {
  constructor(state, env) {
    super(state, env);
    this.sql = state.storage.sql;
    this.sql.exec('CREATE TABLE IF NOT EXISTS kept (id INTEGER PRIMARY KEY, v BLOB)');
  }

  /** Returns null if SQLite accepts the value. Otherwise returns the error. */
  put(bytes) {
    try {
      this.sql.exec('INSERT OR REPLACE INTO kept VALUES (1, ?)', new Uint8Array(bytes).fill(7).buffer);
      return null;
    } catch (error) {
      return error.message;
    }
  }

  substr(from, bytes, times) {
    let read = 0;
    for (let n = 0; n < times; n += 1) {
      const [{ part }] = this.sql.exec('SELECT substr(v, ?, ?) AS part FROM kept WHERE id = 1', from, bytes).toArray();
      read += /** @type {ArrayBuffer} */ (part).byteLength;
    }
    return read;
  }

  /** The response is sent after the commit. */
  commit(n) {
    this.sql.exec('INSERT OR REPLACE INTO kept VALUES (2, ?)', String(n));
  }

  nothing() {}
}

/** The durations are in milliseconds. The clock advances during each call. */
async function timed(times, call) {
  const all = [];
  for (let n = 0; n < times; n += 1) {
    const from = Date.now();
    await call(n);
    all.push(Date.now() - from);
  }
  return all;
}

/** Calls an object with several calls in parallel, until the platform's limit is reached. */
async function calls(object, max, together) {
  let done = 0;
  try {
    while (done < max) {
      await Promise.all(Array.from({ length: together }, () => object.nothing().then(() => (done += 1))));
    }
    return { done, error: null };
  } catch (error) {
    return { done, error: error.message };
  }
}

/**
 * A Worker cannot send trailers outside of the body. The platform converts the message only if the
 * response is a stream without Content-Length, and if the trailers contain no space.
 */
function grpc(request) {
  const trailers = new TextEncoder().encode('grpc-status:0\r\n');
  const bytes = new Uint8Array([0, 0, 0, 0, 1, 42, 0x80, 0, 0, 0, trailers.length, ...trailers]);
  const headers = {
    'Content-Type': 'application/grpc-web+proto',
    'Probe-Content-Type': request.headers.get('Content-Type') ?? '',
    'Probe-Te': request.headers.get('TE') ?? '',
  };
  const body = new ReadableStream({
    start(controller) {
      controller.enqueue(bytes);
      controller.close();
    },
  });
  return new Response(body, { headers });
}

const asked = {
  where: (request) => ({ colo: request.cf?.colo ?? null, protocol: request.cf?.httpProtocol ?? null }),
  put: (_, { bytes }, object) => object().put(bytes),
  substr: (_, { from, bytes, times }, object) => object().substr(from, bytes, times),
  memory: (_, { megabytes }) => held(megabytes),
  calls: (_, { max, together }, object) => calls(object(), max, together),
  async commit(_, { region, times }, object) {
    const there = object(region);
    await there.nothing();
    return { empty: await timed(times, () => there.nothing()), commit: await timed(times, (n) => there.commit(n)) };
  },
};

export default {
  async fetch(request, env) {
    if (request.headers.get('Probe-Token') !== env.PROBE_TOKEN) return new Response('Not Found\n', { status: 404 });
    const { pathname } = new URL(request.url);
    if (pathname === '/grpc') return grpc(request);
    const object = (region) => {
      const id = env.PROBE.idFromName(region ?? 'here');
      return env.PROBE.get(id, region ? { locationHint: region } : {});
    };
    const name = pathname.slice(1);
    if (!Object.hasOwn(asked, name)) return new Response('Not Found\n', { status: 404 });
    const given = request.method === 'POST' ? await request.json() : {};
    return Response.json({ answer: await asked[name](request, given, object) });
  },
};
