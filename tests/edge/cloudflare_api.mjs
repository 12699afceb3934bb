// A stand-in for Cloudflare's API. An account either runs uploaded scripts with Miniflare, or only
// records the scripts that wrangler deploys.

import { createServer } from 'node:http';

import { Miniflare } from 'miniflare';

import { listening } from './harness.mjs';

const accountId = 'an-account';
const scriptsPath = `/accounts/${accountId}/workers/scripts`;

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

class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

async function uploaded(form) {
  const modules = {};
  for (const [name, file] of form) if (name !== 'metadata') modules[name] = file.size;
  const metadata = form.get('metadata');
  return { metadata: JSON.parse(typeof metadata === 'string' ? metadata : await metadata.text()), modules };
}

class RecordedScript {
  versions = [];
  deployments = [];
  isWorkersDev = false;
  hasNewSecret = false;
  migrationTag = undefined;

  /**
   * The bindings of the newest version. They include the bindings that the upload kept from the
   * previous version.
   */
  get bindings() {
    return this.versions.at(-1)?.bindings ?? [];
  }

  add({ metadata, modules }) {
    const { bindings = [], keep_bindings: kept = [], migrations } = metadata;
    const own = bindings.filter(({ type }) => type !== 'inherit');
    const missing = bindings.filter(({ type, name }) => type === 'inherit' && !this.bindings.some((one) => one.name === name));
    if (missing.length > 0) throw new ApiError(400, 10_057, `inherit binding '${missing[0].name}' is invalid`);
    const inherited = bindings.filter(({ type }) => type === 'inherit').map(({ name }) => name);
    const isKept = ({ name, type }) => !own.some((one) => one.name === name) && (kept.includes(type) || inherited.includes(name));
    const number = this.versions.length + 1;
    const id = `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
    this.migrationTag = migrations?.new_tag ?? this.migrationTag;
    const version = { id, number, metadata, modules, bindings: [...this.bindings.filter(isKept), ...own] };
    this.versions.push(version);
    return version;
  }

  deploy(versions) {
    if (this.hasNewSecret) throw new ApiError(400, 10_220, 'The following secrets have changed: ADMIN_TOKEN');
    this.deployments.push({ id: `d${this.deployments.length + 1}`, source: 'api', strategy: 'percentage', created_on: '2026-11-01T00:00:00Z', versions });
  }
}

/** The API never returns the values of secrets. */
const withoutSecrets = (bindings) => bindings.map(({ text, ...one }) => (one.type === 'secret_text' ? one : { text, ...one }));

const scriptCalls = {
  'GET /settings': (script) => ({ bindings: script.bindings.filter(({ type }) => type !== 'secret_text') }),
  'GET /secrets': (script) => withoutSecrets(script.bindings.filter(({ type }) => type === 'secret_text')),
  'GET /subdomain': (script) => ({ enabled: script.isWorkersDev, previews_enabled: false }),
  'POST /subdomain': (script, { enabled }) => ({ enabled: (script.isWorkersDev = enabled), previews_enabled: false }),
  'PATCH /script-settings': () => ({}),
  'GET /deployments': (script) => ({ deployments: script.deployments.toReversed() }),
  'POST /deployments': (script, { versions }) => (script.deploy(versions), { id: 'd' }),
  'GET /versions': (script) => ({ items: script.versions.map(({ id, number }) => ({ id, number, metadata: {}, annotations: {} })) }),
};

/**
 * `subdomain` is null until a subdomain is registered. `refuses(name, metadata)` may return `[code,
 * message]` to reject an upload.
 */
export async function cloudflareAccount(t) {
  const it = {
    scripts: new Map(), calls: [], subdomain: 'nowhere',
    accounts: [{ id: accountId, name: 'mine' }], refuses: (_name, _metadata) => null,
  };
  const mustTake = (name, upload) => {
    const refusal = it.refuses(name, upload.metadata);
    if (refusal) throw new ApiError(400, ...refusal);
  };
  const newVersion = async (name, request) => {
    const upload = await uploaded(await request.formData());
    mustTake(name, upload);
    if (!it.scripts.has(name)) it.scripts.set(name, new RecordedScript());
    return it.scripts.get(name).add(upload);
  };
  const known = (name) => {
    if (!it.scripts.has(name)) throw new ApiError(404, 10_007, 'This Worker does not exist on your account.');
    return it.scripts.get(name);
  };
  const ofAccount = {
    'GET /subdomain': () => {
      if (it.subdomain === null) throw new ApiError(404, 10_007, 'There is no workers.dev subdomain');
      return { subdomain: it.subdomain };
    },
    'PUT /subdomain': async (request) => ({ subdomain: (it.subdomain = (await request.json()).subdomain) }),
  };
  async function ofScript(method, name, rest, request) {
    if (method === 'POST' && rest === '/assets-upload-session') return { jwt: 'assets', buckets: [] };
    if (method === 'PUT' && rest === '') {
      const { id } = await newVersion(name, request);
      known(name).deploy([{ version_id: id, percentage: 100 }]);
      return { id: name, etag: 'e', deployment_id: id.replaceAll('-', ''), startup_time_ms: 12 };
    }
    const script = known(name);
    if (method === 'POST' && rest === '/versions') {
      const { id, number } = await newVersion(name, request);
      return { id, number, startup_time_ms: 12, resources: { script: { etag: 'e' } }, metadata: {} };
    }
    const [, id] = /^\/versions\/([\w-]+)$/.exec(rest) ?? [];
    const version = script.versions.find((one) => one.id === id);
    if (version) return { id, number: version.number, metadata: { created_on: '2026-11-01T00:00:00Z' }, annotations: {}, resources: { bindings: withoutSecrets(version.bindings), script: {}, script_runtime: {} } };
    const call = scriptCalls[`${method} ${rest}`];
    return call?.(script, method === 'GET' ? undefined : await request.json());
  }
  async function answer(method, path, request) {
    if (path === '/accounts') return it.accounts;
    if (path === '/memberships') return it.accounts.map((account) => ({ account }));
    const [, bucket] = /\/r2\/buckets\/([\w-]+)$/.exec(path) ?? [];
    if (bucket) return { name: bucket };
    const [, account, rest] = /^\/accounts\/([\w-]+)\/workers(.*)$/.exec(path) ?? [];
    if (!it.accounts.some(({ id }) => id === account)) return undefined;
    if (/^\/subdomains\//.test(rest)) throw new ApiError(404, 10_032, 'available');
    const [, service] = /^\/services\/([\w-]+)$/.exec(rest) ?? [];
    if (service) {
      const { migrationTag } = known(service);
      return { default_environment: { environment: 'production', script: { tag: 't', tags: [], last_deployed_from: 'wrangler', migration_tag: migrationTag } } };
    }
    const [, worker] = /^\/workers\/([\w-]+)$/.exec(rest) ?? [];
    if (worker) return { subdomain: { enabled: known(worker).isWorkersDev, previews_enabled: false } };
    const [, script, more] = /^\/scripts\/([\w-]+)(.*)$/.exec(rest) ?? [];
    return script ? ofScript(method, script, more, request) : ofAccount[`${method} ${rest}`]?.(request);
  }
  return Object.assign(it, { url: await serving(t, it, answer) });
}

/** Resolves to the server's address. The status is 404 if `answer` returns undefined. */
function serving(t, it, answer) {
  const server = createServer(async (incoming, outgoing) => {
    const { method, headers } = incoming;
    const [path] = incoming.url.split('?');
    it.calls.push(`${method} ${path}`);
    const pieces = [];
    for await (const piece of incoming) pieces.push(piece);
    const body = pieces.length > 0 ? Buffer.concat(pieces) : undefined;
    const request = new Request(`http://api${incoming.url}`, { method, headers: { 'Content-Type': headers['content-type'] ?? '' }, body });
    const reply = (status, told) => {
      outgoing.writeHead(status, { 'Content-Type': 'application/json' });
      outgoing.end(JSON.stringify({ success: status === 200, errors: [], messages: [], ...told }));
    };
    try {
      if (headers.authorization !== 'Bearer an-api-token') throw new ApiError(403, 10_000, 'Authentication error');
      const result = await answer(method, path, request);
      if (result === undefined) throw new ApiError(404, 7_003, `no route ${method} ${path}`);
      reply(200, { result });
    } catch (error) {
      const { status = 500, code = 1, message } = error;
      reply(status, { errors: [{ code, message }], result: null });
    }
  });
  return listening(t, server);
}

/**
 * `calls` lists all calls in order as `METHOD path`. `fails(call)` may return a status with which
 * the call must fail.
 */
export async function cloudflareApi(t) {
  const it = { scripts: new Map(), domains: new Map(), calls: [], fails: (_call) => 0 };
  const answers = {
    'GET /accounts': () => [{ id: accountId, name: 'mine' }],
    [`GET /accounts/${accountId}/workers/subdomain`]: () => ({ subdomain: 'nowhere' }),
    [`GET ${scriptsPath}`]: () => [...it.scripts.keys()].map((id) => ({ id })),
  };
  async function answer(method, path, request) {
    const status = it.fails(`${method} ${path}`);
    if (status) throw new ApiError(status, 10_000, 'no');
    const known = answers[`${method} ${path}`];
    if (known) return known();
    const [, script, rest] = new RegExp(`^${scriptsPath}/([\\w-]+)(/subdomain|/domains/records)?$`).exec(path) ?? [];
    if (method === 'PUT' && rest === '/domains/records' && it.scripts.has(script)) {
      const { origins } = await request.json();
      it.domains.set(script, origins.map(({ hostname }) => hostname));
      return {};
    }
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
  t.after(async () => {
    for (const { miniflare } of it.scripts.values()) await miniflare.dispose();
  });
  return Object.assign(it, { url: await serving(t, it, answer) });
}
