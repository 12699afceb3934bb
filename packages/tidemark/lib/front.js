// Runs in workerd in front of the database: forwards the database's paths, and serves the console's
// files for all others.

const types = {
  css: 'text/css; charset=utf-8',
  gz: 'application/gzip',
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  json: 'application/json',
  svg: 'image/svg+xml',
  txt: 'text/plain; charset=utf-8',
  wasm: 'application/wasm',
};

/** Returns the rules in `_headers` as `[pattern, name, value]`. */
function rulesOf(text) {
  const rules = [];
  let pattern = '';
  for (const line of text.split('\n')) {
    if (line === '') continue;
    if (!line.startsWith(' ')) pattern = line;
    else {
      const at = line.indexOf(':');
      rules.push([pattern, line.slice(0, at).trim(), line.slice(at + 1).trim()]);
    }
  }
  return rules;
}

/** Returns whether `pattern` matches `path`. A pattern is a path or a prefix followed by a star. */
const meant = (pattern, path) =>
  pattern.endsWith('*') ? path.startsWith(pattern.slice(0, -1)) : path === pattern;

let rules = null;

async function file(request, site) {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return new Response('Method Not Allowed\n', { status: 405, headers: { Allow: 'GET, HEAD' } });
  }
  rules ??= rulesOf(await (await site.fetch('http://site/_headers')).text());
  const { pathname } = new URL(request.url);
  const path = pathname.endsWith('/') ? `${pathname}index.html` : pathname;
  const found = path === '/_headers' ? null : await site.fetch(`http://site${path}`, { method: request.method });
  const type = types[path.split('.').at(-1)];
  // Files have an extension. Without this check, the response for a folder would be a listing.
  if (!found?.ok || !type) return new Response('Not Found\n', { status: 404 });
  const headers = new Headers({ 'Content-Type': type });
  const length = found.headers.get('Content-Length');
  if (length) headers.set('Content-Length', length);
  for (const [pattern, name, value] of rules) if (meant(pattern, pathname)) headers.set(name, value);
  return new Response(found.body, { headers });
}

export default {
  fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (!env.PATHS.some((pattern) => meant(pattern, pathname))) return file(request, env.SITE);
    // The client's address comes from the connection, because a client can forge a header of that
    // name.
    const passed = new Request(request);
    // Removes the port, which differs for each connection. With the port, each password guess would
    // have a new address.
    const address = request.cf?.clientIp?.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
    if (address) passed.headers.set('CF-Connecting-IP', address);
    else passed.headers.delete('CF-Connecting-IP');
    return env.DATABASE.fetch(passed);
  },
};
