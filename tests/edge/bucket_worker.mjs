// The built Worker, with the route /test_bucket to read and write the objects in its bucket.

import { WorkerEntrypoint } from 'cloudflare:workers';

import built from '../../build/index.js';

export { Catalog, Database, Shard } from '../../build/index.js';

async function objects(bucket, request, key) {
  if (key === null) return Response.json((await bucket.list()).objects.map((object) => object.key));
  if (request.method === 'GET') return new Response((await bucket.get(key)).body);
  await bucket.put(key, await request.arrayBuffer());
  return new Response();
}

export default class extends WorkerEntrypoint {
  fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === '/test_bucket') return objects(this.env.BACKUPS, request, searchParams.get('key'));
    return new built(this.ctx, this.env).fetch(request);
  }
}
