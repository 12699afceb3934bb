// The built Worker, which also tells how much memory its WebAssembly has: GET /test_memory. All
// objects of a local server live in one isolate with the Worker, and share that memory.

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
