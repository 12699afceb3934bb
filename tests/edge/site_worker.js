// Serves the files of the console on plain workerd, and passes all other requests to the Worker, as the
// platform does for `[assets]` in wrangler.toml. console_page.test.mjs tests the console on wrangler dev.

const types = {
  css: 'text/css; charset=utf-8',
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  json: 'application/json',
  svg: 'image/svg+xml',
  txt: 'text/plain; charset=utf-8',
  wasm: 'application/wasm',
};

/** A star at the end of the pattern matches any text. */
const matches = (pattern, path) => (pattern.endsWith('*') ? path.startsWith(pattern.slice(0, -1)) : path === pattern);

/** The rules match the path of the request, which is `/` for the file `/index.html`. */
function headersOf(pathname, path, rules) {
  const headers = new Headers({ 'Content-Type': types[path.split('.').at(-1)] ?? 'application/octet-stream' });
  for (const [, fields] of rules.filter(([pattern]) => matches(pattern, pathname))) {
    for (const [name, value] of fields) headers.set(name, value);
  }
  return headers;
}

export default {
  async fetch(request, { WORKER, FILES, WORKER_FIRST, HEADERS }) {
    const { pathname } = new URL(request.url);
    const isFile = ['GET', 'HEAD'].includes(request.method) && !WORKER_FIRST.some((pattern) => matches(pattern, pathname));
    if (!isFile) return WORKER.fetch(request);
    const path = pathname.endsWith('/') ? `${pathname}index.html` : pathname;
    const file = await FILES.fetch(`http://files${path}`, { method: request.method });
    return file.ok ? new Response(file.body, { headers: headersOf(pathname, path, HEADERS) }) : WORKER.fetch(request);
  },
};
