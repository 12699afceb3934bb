// Runs the steps of a query script against a server over HTTP.

import { readdirSync, statSync } from 'node:fs';
import { renderAnswer } from './answer.mjs';
import { queryParams } from './script.mjs';

/** The client sends the token as a Bearer token. */
export class Client {
  constructor(url, token = '') {
    this.url = url.replace(/\/$/, '');
    this.headers = token ? { authorization: `Bearer ${token}` } : {};
  }

  /** Throws if the server's response differs from the step. */
  async write({ db, rp, precision, body, at }) {
    const params = new URLSearchParams({ db });
    if (rp) params.set('rp', rp);
    if (precision) params.set('precision', precision);
    const expected = /^=> http (\d+)$/.exec(body.at(-1) ?? '')?.[1];
    const lines = expected ? body.slice(0, -1) : body;
    const reply = await fetch(`${this.url}/write?${params}`, {
      method: 'POST',
      headers: this.headers,
      body: lines.join('\n'),
    });
    const text = await reply.text();
    if (reply.status !== Number(expected ?? 204)) {
      throw new Error(`${at}: the write was answered ${reply.status} ${text.trim()}`);
    }
  }

  async query(query) {
    const { accept, get } = query.options;
    const headers = accept ? { ...this.headers, accept } : this.headers;
    const init = { method: get ? 'GET' : 'POST', headers };
    // 1.x reads `pretty` only from the URL, so the client sends all parameters in the URL.
    const reply = await fetch(`${this.url}/query?${queryParams(query)}`, init);
    const body = await reply.text();
    try {
      return renderAnswer(query, reply.status, body);
    } catch (error) {
      return [`malformed: ${error.message} in ${body.trim()}`];
    }
  }

  async reset() {
    for (const [list, drop] of [['SHOW DATABASES', 'DROP DATABASE'], ['SHOW USERS', 'DROP USER']]) {
      for (const name of await this.#names(list)) {
        await this.#ask(`${drop} ${quoted(name)}`);
      }
    }
  }

  async #names(statement) {
    const answer = await this.#ask(statement);
    const rows = answer.results?.[0]?.series?.[0]?.values ?? [];
    return rows.map(([name]) => name).filter((name) => name !== '_internal');
  }

  async #ask(statement) {
    const body = new URLSearchParams({ q: statement });
    const headers = this.headers;
    const reply = await fetch(`${this.url}/query`, { method: 'POST', headers, body });
    return reply.json();
  }
}

function quoted(name) {
  return `"${name.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

export function scriptFiles(paths) {
  const below = (directory) =>
    readdirSync(directory, { recursive: true })
      .filter((name) => name.endsWith('.test'))
      .map((name) => `${directory}/${name}`);
  return paths.flatMap((path) => (statSync(path).isDirectory() ? below(path) : [path])).sort();
}
