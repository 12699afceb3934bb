// The built Worker with an additional route: GET /test_memory returns the size of its WebAssembly
// memory. All objects of a local server run in one isolate with the Worker and share that memory.

import { WorkerEntrypoint } from 'cloudflare:workers';

import { memories } from './instances.mjs';
import built from '../../build/index.js';

export { Catalog, Database, Shard } from '../../build/index.js';

export default class extends WorkerEntrypoint {
  fetch(request) {
    if (new URL(request.url).pathname === '/test_memory') return Response.json(memories());
    return new built(this.ctx, this.env).fetch(request);
  }
}
