// The connection to a server.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { UserError } from './command.mjs';

/** The native program stores its token in this file. */
const tokenFile = (folder) => join(folder, 'token');

/** No option contains the token, because other users can see command-line arguments. */
export const connectionOptions = {
  url: { value: 'URL', env: 'TIDEMARK_URL', fallback: 'http://127.0.0.1:8787', help: "the server's address" },
  data: {
    value: 'FOLDER',
    env: 'TIDEMARK_DATA',
    fallback: 'tidemark-data',
    help: 'the data folder of `tidemark serve` on this machine;\nthe command uses the token in FOLDER if TIDEMARK_TOKEN is not set',
  },
};

export const connectionHelp = `TIDEMARK_TOKEN must contain the token. You can leave it unset for a server that \`tidemark serve\` runs
in this folder.`;

/** The maximum time, in milliseconds, until the server starts to send its response. */
const answerMs = 300_000;

/** The token in the data folder is only sent to this machine. */
const isHere = (url) => ['127.0.0.1', 'localhost', '[::1]'].includes(url.hostname);

function tokenFor(url, folder) {
  if (process.env.TIDEMARK_TOKEN) return process.env.TIDEMARK_TOKEN;
  if (isHere(url) && existsSync(tokenFile(folder))) return readFileSync(tokenFile(folder), 'utf8').trim();
  throw new UserError(
    `No token: set TIDEMARK_TOKEN to a token of ${url.origin}` +
      (isHere(url) ? `, or start \`tidemark serve\` in this folder (there is no ${tokenFile(folder)}).` : '.'),
  );
}

/** Throws a [UserError] if the text is not an address. */
export function addressOf(option, text) {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url && /^https?:$/.test(url.protocol)) return url;
  throw new UserError(`"${text}" is not an address: set ${option} to an address such as https://tidemark.example.workers.dev.`);
}

export class Connection {
  /**
   * @param {Record<string, any>} options options of the command: `url` and `data` from
   *   [connectionOptions]
   */
  constructor({ url, data }) {
    const parsed = addressOf('--url', url);
    this.url = parsed.href.replace(/\/+$/, '');
    this.token = tokenFor(parsed, data);
  }

  /** Sends a request with the token. Throws a [UserError] if the server does not respond. */
  async fetch(path, init = {}) {
    const headers = { Authorization: `Token ${this.token}`, ...init.headers };
    // Only the start of the response has a timeout, because an export may take hours.
    const start = new AbortController();
    const timer = setTimeout(() => start.abort(new Error(`no response for ${answerMs / 1000} s`)), answerMs);
    try {
      return await fetch(`${this.url}${path}`, { ...init, headers, signal: init.signal ?? start.signal });
    } catch (error) {
      if (init.signal?.aborted) throw error;
      const why = error.cause?.code ?? error.cause?.message ?? error.message;
      throw new UserError(`${this.url} does not respond (${why}): check the address, and that the server is running.`);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Throws a [UserError] if the status is an error. */
  async must(path, init) {
    const response = await this.fetch(path, init);
    if (response.ok) return response;
    throw new UserError(await errorLine(response));
  }

  /** Throws the server's message if the request fails. */
  query(q, { db = '', epoch = '', accept = 'application/json' } = {}) {
    const body = new URLSearchParams({ q, ...(db && { db }), ...(epoch && { epoch }) });
    return this.must('/query', { method: 'POST', headers: { Accept: accept }, body });
  }
}

/** Error responses have one of two JSON formats. For any other response, returns the whole text. */
export function messageIn(body) {
  const text = body.trim();
  try {
    const { error, message } = JSON.parse(text);
    return String(error ?? message ?? text);
  } catch {
    return text;
  }
}

async function errorLine(response) {
  return `The server returned ${response.status}: ${messageIn(await response.text())}`;
}
