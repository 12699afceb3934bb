// A stand-in of Cloudflare's API: an account whose scripts run under Miniflare, from what was uploaded.

import { createServer } from 'node:http';

import { Miniflare } from 'miniflare';

const accountId = 'an-account';
const scriptsPath = `/accounts/${accountId}/workers/scripts`;

/** A binding of the API as Miniflare's configuration has it. */
function bindingOf({ type, name, class_name: exportName, text }, script) {
  const kinds = {
    durable_object_namespace: { type: 'durable-object', worker: script, exportName },
    secret_text: { type: 'text', value: text },
  };
  return [name, kinds[type]];
}

async function started(script, form) {
  const metadata = JSON.parse(await form.get('metadata').text());
  const modules = {};
  for (const [name, file] of form) {
    if (name === 'metadata') continue;
    const isCode = file.type === 'application/javascript+module';
    modules[name] = isCode ? { type: 'esm', contents: await file.text() } : { type: 'wasm', contents: Buffer.from(await file.arrayBuffer()) };
  }
  const classes = metadata.migrations?.new_sqlite_classes ?? [];
  const config = {
    name: script,
    compatibilityDate: metadata.compatibility_date,
    manifest: { mainModule: metadata.main_module, modules },
    env: Object.fromEntries(metadata.bindings.map((one) => bindingOf(one, script))),
    exports: Object.fromEntries(classes.map((name) => [name, { type: 'durable-object', storage: 'sqlite' }])),
  };
  const miniflare = new Miniflare({ host: '127.0.0.1', cf: false, workers: [{ config }] });
  return { miniflare, url: String(await miniflare.ready).replace(/\/$/, '') };
}

/**
 * Serves it until the test `t` is over: `{ url, scripts, calls, fails }`. `scripts` are those that are there, by name;
 * `calls` are `METHOD path` in the order in which they came; `fails(call)` may answer with a status instead.
 */
export async function cloudflareApi(t) {
  const it = { scripts: new Map(), calls: [], fails: (_call) => 0 };
  const answers = {
    'GET /accounts': () => [{ id: accountId, name: 'mine' }],
    [`GET /accounts/${accountId}/workers/subdomain`]: () => ({ subdomain: 'nowhere' }),
    [`GET ${scriptsPath}`]: () => [...it.scripts.keys()].map((id) => ({ id })),
  };
  async function answer(method, path, request) {
    const known = answers[`${method} ${path}`];
    if (known) return known();
    const [, script, rest] = new RegExp(`^${scriptsPath}/([\\w-]+)(/subdomain)?$`).exec(path) ?? [];
    if (method === 'PUT' && script) {
      it.scripts.set(script, await started(script, await request.formData()));
      return { startup_time_ms: 12 };
    }
    if (method === 'POST' && rest && it.scripts.has(script)) return {};
    if (method === 'DELETE' && it.scripts.has(script)) {
      await it.scripts.get(script).miniflare.dispose();
      it.scripts.delete(script);
      return null;
    }
    return undefined;
  }
  const server = createServer(async (incoming, outgoing) => {
    const { method, headers } = incoming;
    const [path] = incoming.url.split('?');
    it.calls.push(`${method} ${incoming.url}`);
    const pieces = [];
    for await (const piece of incoming) pieces.push(piece);
    const body = pieces.length > 0 ? Buffer.concat(pieces) : undefined;
    const request = new Request(`http://api${incoming.url}`, { method, headers: { 'Content-Type': headers['content-type'] ?? '' }, body });
    let status = headers.authorization === 'Bearer an-api-token' ? it.fails(`${method} ${path}`) : 403;
    const result = status ? undefined : await answer(method, path, request);
    if (!status) status = result === undefined ? 404 : 200;
    const errors = status === 200 ? [] : [{ code: 10_000, message: 'no' }];
    outgoing.writeHead(status, { 'Content-Type': 'application/json' });
    outgoing.end(JSON.stringify({ success: status === 200, errors, result }));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  t.after(async () => {
    server.close();
    server.closeAllConnections();
    for (const { miniflare } of it.scripts.values()) await miniflare.dispose();
  });
  return Object.assign(it, { url: `http://127.0.0.1:${/** @type {any} */ (server.address()).port}` });
}
