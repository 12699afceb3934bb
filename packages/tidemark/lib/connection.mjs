// A server, and what may be asked of it: used by every command but `serve`.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { Sentence } from './command.mjs';

/** Where `serve` keeps its data, unless it is told otherwise. */
export const defaultFolder = 'tidemark-data';

/** The token that `serve` made for its folder. */
export const tokenFile = (folder) => join(folder, 'token');

/** Options of every command that asks a server. There is none for the token: everybody sees arguments. */
export const connectionOptions = {
  url: { value: 'URL', env: 'TIDEMARK_URL', fallback: 'http://127.0.0.1:8787', help: 'of the server' },
  data: {
    value: 'FOLDER',
    env: 'TIDEMARK_DATA',
    fallback: defaultFolder,
    help: 'of `tidemark serve` on this machine: its token is taken where TIDEMARK_TOKEN is not set',
  },
};

/** A paragraph of their help. */
export const connectionHelp = `The token is taken from TIDEMARK_TOKEN; beside a server that \`tidemark serve\` runs in this folder,
nothing has to be set.`;

/** How long a server may take to begin with its answer. */
const answerMs = 300_000;

/** Whether the address is of this machine: only there does the token of a folder go by itself. */
const isHere = (url) => ['127.0.0.1', 'localhost', '[::1]'].includes(url.hostname);

function tokenFor(url, folder) {
  if (process.env.TIDEMARK_TOKEN) return process.env.TIDEMARK_TOKEN;
  if (isHere(url) && existsSync(tokenFile(folder))) return readFileSync(tokenFile(folder), 'utf8').trim();
  throw new Sentence(
    `No token: set TIDEMARK_TOKEN to one of ${url.origin}` +
      (isHere(url) ? `, or start \`tidemark serve\` in this folder (there is no ${tokenFile(folder)}).` : '.'),
  );
}

/** The address that `option` names. Throws a sentence if it is none. */
export function addressOf(option, text) {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url && /^https?:$/.test(url.protocol)) return url;
  throw new Sentence(`"${text}" is no address: ${option} is like https://tidemark.example.workers.dev.`);
}

/** A server by its address and token. */
export class Connection {
  /** @param {Record<string, any>} options of the command: `url` and `data` of [connectionOptions] */
  constructor({ url, data }) {
    const parsed = addressOf('--url', url);
    this.url = parsed.href.replace(/\/+$/, '');
    this.token = tokenFor(parsed, data);
  }

  /** A request with the token; throws a sentence if nobody answers. */
  async fetch(path, init = {}) {
    const headers = { Authorization: `Token ${this.token}`, ...init.headers };
    const signal = init.signal ?? AbortSignal.timeout(answerMs);
    try {
      return await fetch(`${this.url}${path}`, { ...init, headers, signal });
    } catch (error) {
      if (init.signal?.aborted) throw error;
      const why = error.cause?.code ?? error.cause?.message ?? error.message;
      throw new Sentence(`${this.url} does not answer (${why}): is the server running, and the address right?`);
    }
  }

  /** As [fetch]; throws what the server said unless it is a success. */
  async must(path, init) {
    const response = await this.fetch(path, init);
    if (response.ok) return response;
    throw new Sentence(await said(response));
  }

  /** The answer to InfluxQL text; one that is refused throws what the server said. */
  query(q, { db = '', epoch = '', accept = 'application/json' } = {}) {
    const body = new URLSearchParams({ q, ...(db && { db }), ...(epoch && { epoch }) });
    return this.must('/query', { method: 'POST', headers: { Accept: accept }, body });
  }
}

/** The message of a failed answer: out of either form of JSON, or the text as it came. */
export function messageIn(body) {
  const text = body.trim();
  try {
    const { error, message } = JSON.parse(text);
    return String(error ?? message ?? text);
  } catch {
    return text;
  }
}

/** A failed answer as one line: its status and its message. */
export async function said(response) {
  return `The server answered ${response.status}: ${messageIn(await response.text())}`;
}
