// A Worker with a large module. It measures the start time, and the memory that the module leaves
// free.

import module from './large.wasm';
import { held } from './memory.js';

const { exports } = new WebAssembly.Instance(module);

export default {
  async fetch(request, env) {
    if (request.headers.get('Probe-Token') !== env.PROBE_TOKEN) return new Response('Not Found\n', { status: 404 });
    if (new URL(request.url).pathname !== '/memory') return Response.json({ answer: exports.first(20) });
    const { megabytes } = await request.json();
    return Response.json({ answer: held(megabytes) + exports.first(20) });
  },
};
