// A Worker with a large module, of which nothing is used: how long does it take to start?

import module from './large.wasm';

const { exports } = new WebAssembly.Instance(module);

export default {
  fetch(request, env) {
    if (request.headers.get('Probe-Token') !== env.PROBE_TOKEN) return new Response('Not Found\n', { status: 404 });
    return Response.json({ answer: exports.first(20) });
  },
};
