// The connection to a server.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { UserError } from './command.mjs';

/** The native program stores its token in this file. */
const tokenFile = (folder) => join(folder, 'token');

/**
 * The options for a connection. None contains the token, because other users can see command-line
 * arguments.
 */
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

/** The timeout of a request in milliseconds. */
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
function addressOf(option, text) {
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

  /**
   * Resolves to the response. Throws a [UserError] if the server does not respond, or if the status
   * is an error.
   */
  async query(q) {
    const headers = { Authorization: `Token ${this.token}`, Accept: 'application/json' };
    const signal = AbortSignal.timeout(answerMs);
    let response;
    try {
      response = await fetch(`${this.url}/query`, { method: 'POST', headers, body: new URLSearchParams({ q }), signal });
    } catch (error) {
      const why = error.cause?.code ?? error.cause?.message ?? error.message;
      throw new UserError(`${this.url} does not respond (${why}): check the address, and that the server is running.`);
    }
    if (response.ok) return response;
    throw new UserError(`The server returned ${response.status}: ${messageIn(await response.text())}`);
  }
}

/**
 * Returns the message in an error response, which has one of two JSON formats. For any other
 * response, returns the whole text.
 */
function messageIn(body) {
  const text = body.trim();
  try {
    const { error, message } = JSON.parse(text);
    return String(error ?? message ?? text);
  } catch {
    return text;
  }
}
