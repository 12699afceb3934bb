// The client of Cloudflare's API: uploads, configures and removes Workers.

import { UserError } from './command.mjs';
import { proxyStep } from './proxy.mjs';

/** The timeout of a call in milliseconds. It permits an upload of 30 MB over a slow connection. */
const callMs = 300_000;

/**
 * The maximum number of attempts to remove a script. A script that remains costs its owner money.
 */
const removalsMax = 4;
const removalPauseMs = 1_000;

/** The API's code for a Worker or a subdomain that does not exist. */
const notFound = 10_007;

const mimes = { js: 'application/javascript+module', wasm: 'application/wasm' };

/** The same environment variable sets the address in wrangler. */
const base = () => (process.env.CLOUDFLARE_API_BASE_URL || 'https://api.cloudflare.com/client/v4').replace(/\/+$/, '');

export class Account {
  /** @param {{ token?: string, key?: string, email?: string, id?: string }} given */
  constructor({ token, key, email, id }) {
    this.credentials = key ? { 'X-Auth-Key': key, 'X-Auth-Email': email } : { Authorization: `Bearer ${token}` };
    this.id = id;
  }

  /** Throws the API's error. */
  async call(method, path, { body = undefined, signal = undefined } = {}) {
    const isForm = body instanceof FormData;
    const headers = { ...this.credentials, ...(body && !isForm && { 'Content-Type': 'application/json' }) };
    const limit = AbortSignal.timeout(callMs);
    const send = async () => {
      const sent = await fetch(`${base()}${path}`, {
        method,
        headers,
        body: isForm || !body ? body : JSON.stringify(body),
        signal: signal ? AbortSignal.any([signal, limit]) : limit,
      });
      return { response: sent, text: await sent.text() };
    };
    const { response, text } = await send().catch((error) => {
      if (signal?.aborted) throw error;
      throw new UserError(`Cloudflare's API cannot be reached (${error.cause?.message ?? error.message}): check the network connection and retry.${proxyStep()}`);
    });
    let said;
    try {
      said = JSON.parse(text);
    } catch {
      throw new UserError(`Cloudflare returned ${response.status} without JSON. Retry later.`);
    }
    if (response.ok && said.success) return said.result;
    const [{ message = response.statusText, code = response.status } = {}] = said.errors ?? [];
    throw Object.assign(new UserError(`Cloudflare refused ${method} ${path}: ${message} [code: ${code}]`), { status: response.status, code });
  }

  /** Returns null if the resource does not exist. */
  async find(path) {
    try {
      return await this.call('GET', path);
    } catch (error) {
      if (error.status === 404 || error.code === notFound) return null;
      throw error;
    }
  }

  /**
   * If the token may use several accounts, `ask` chooses one. Without `ask`, the call fails.
   * @param {((accounts: { id: string, name: string }[]) => Promise<string>) | null} ask
   */
  async choose(ask, signal = undefined) {
    if (this.id) return;
    const accounts = await this.call('GET', '/accounts?per_page=50', { signal });
    if (accounts.length > 1 && ask) {
      this.id = await ask(accounts);
      return;
    }
    if (accounts.length !== 1) {
      if (accounts.length === 0) throw new UserError('The token cannot use any account: create a token for your account, or set CLOUDFLARE_ACCOUNT_ID.');
      const names = accounts.map(({ id, name }) => `${id} (${name})`).join(', ');
      throw new UserError(`The token can use several accounts: set CLOUDFLARE_ACCOUNT_ID to one of them: ${names}.`);
    }
    this.id = accounts[0].id;
  }

  async open(signal) {
    await this.choose(null, signal);
    const { subdomain } = await this.call('GET', `/accounts/${this.id}/workers/subdomain`, { signal });
    this.subdomain = subdomain;
  }

  scripts = () => `/accounts/${this.id}/workers/scripts`;

  addressOf(name) {
    return `https://${name}.${this.subdomain}.workers.dev`;
  }

  async named(prefix, signal) {
    const all = await this.call('GET', this.scripts(), { signal });
    return all.map(({ id }) => id).filter((name) => name.startsWith(prefix));
  }

  /**
   * The workers.dev address is `url`. `modules` maps file names to bytes, with the main module
   * first.
   */
  async put(name, { modules, metadata }, signal) {
    const form = new FormData();
    const [main] = Object.keys(modules);
    form.set('metadata', new Blob([JSON.stringify({ main_module: main, ...metadata })], { type: 'application/json' }));
    for (const [file, bytes] of Object.entries(modules)) {
      form.set(file, new Blob([bytes], { type: mimes[file.split('.').at(-1)] }), file);
    }
    const { startup_time_ms: startUpMs = null } = await this.call('PUT', `${this.scripts()}/${name}`, { body: form, signal });
    await this.call('POST', `${this.scripts()}/${name}/subdomain`, { body: { enabled: true, previews_enabled: false }, signal });
    return { url: this.addressOf(name), startUpMs };
  }

  /** The API rejects a domain or DNS record that already exists. */
  async setDomains(name, hostnames, signal = undefined) {
    const keeps = { override_existing_origin: false, override_existing_dns_record: false };
    const body = { override_scope: true, ...keeps, origins: hostnames.map((hostname) => ({ hostname })) };
    await this.call('PUT', `${this.scripts()}/${name}/domains/records`, { body, signal });
  }

  /** Also removes the script's objects. Succeeds if the script does not exist. */
  async remove(name) {
    for (let left = removalsMax - 1; ; left -= 1) {
      try {
        await this.call('DELETE', `${this.scripts()}/${name}?force=true`);
        return;
      } catch (error) {
        if (error.status === 404) return;
        if (left === 0) throw error;
        await new Promise((resolve) => setTimeout(resolve, removalPauseMs));
      }
    }
  }
}
