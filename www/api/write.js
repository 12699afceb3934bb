// Writes points with /api/v2/write, and interprets the response.

import { createDatabase, quoted } from '../influxql/statements.js';
import { post, textOf } from './query.js';
import { databases, forgetSchema } from './schema.js';
import { request } from './transport.js';

/** The parameter and the displayed name of each precision. */
export const precisions = [
  ['ns', 'nanoseconds'],
  ['us', 'microseconds'],
  ['ms', 'milliseconds'],
  ['s', 'seconds'],
];

export const unitName = (unit) => precisions.find(([value]) => value === unit)[1];

/** Resolves to `{ status, text, retryAfter_s }`. The status is 0 without a response. */
export async function write(lines, { db, precision }) {
  const path = `/api/v2/write?${new URLSearchParams({ bucket: db, precision })}`;
  const headers = { 'Content-Type': 'text/plain; charset=utf-8' };
  try {
    const response = await request(path, { method: 'POST', headers, body: lines });
    const retryAfter_s = Number(response.headers.get('Retry-After')) || 0;
    return { status: response.status, text: await response.text(), retryAfter_s };
  } catch (error) {
    const text =
      error.name === 'EngineError'
        ? error.message
        : `The server could not be reached: ${error.message}`;
    return { status: 0, text, retryAfter_s: 0 };
  }
}

/**
 * Returns whether the database is absent. `db` may be `db/policy`. Throws [RequestError] if the
 * request fails.
 */
export const isAbsent = async (db) => !(await databases()).includes(db.split('/')[0]);

export const passes = (status) => status === 0 || status === 429 || status >= 500;

/**
 * Creates the database and the policy in `db` or `db/policy` if they are absent. Otherwise a write
 * would create a database that keeps points for only three days. Resolves to a sentence about the
 * creation, or to an empty string. Throws [RequestError] if a retry may succeed.
 */
export async function ensureDatabase(db) {
  const [name, policy] = db.split('/');
  const statements = [createDatabase(name)];
  if (policy && policy !== 'autogen') {
    const lasting = 'DURATION INF REPLICATION 1';
    statements.push(`CREATE RETENTION POLICY ${quoted(policy)} ON ${quoted(name)} ${lasting}`);
  }
  forgetSchema();
  try {
    if (!(await isAbsent(db))) return '';
    const text = await textOf(await post(statements.join('; ')));
    if (JSON.parse(text).results.some(({ error }) => error)) return '';
  } catch (error) {
    if (passes(error.status)) throw error;
    return '';
  }
  forgetSchema();
  return `The database ${name} was created. It keeps points permanently.`;
}

/** Returns one line per error. */
export function resultText({ status, text }) {
  if (status === 204) return '204 No Content: every line was written.';
  try {
    return `${status}: ${JSON.parse(text).message ?? text}`;
  } catch {
    return `${status || 'No response'}: ${text}`;
  }
}
