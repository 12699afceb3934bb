// Sends SQL statements. All SQL statements only read.

import { fetchOrFail, RequestError, textOf } from './query.js';
import { parseExact } from './exact.js';
import { onToken } from './token.js';
import { sqlAsset } from '../engine/sql_asset.js';
import { currentPlace, isStatic, onEngineState, onPlace, sqlState } from './transport.js';

const unloaded = 'The database in this page has no SQL yet: press Load SQL above, or query with InfluxQL.';

const unbuilt = isStatic
  ? 'The database in this page has no SQL: build the page again with `npm run sql` and `npm run build -- --static`.'
  : 'The database in this page has no SQL: run `npm run sql`, or choose the server at the top right.';

/** Returns null if the page knows no reason. */
export function sqlUnavailableReason() {
  if (currentPlace() !== 'browser' || sqlState().isReady) return null;
  return sqlAsset ? unloaded : unbuilt;
}

/**
 * Throws [RequestError] if SQL is unavailable.
 * @param {string} q
 * @param {{ db: string, format?: string, signal?: AbortSignal }} options
 */
export async function querySql(q, { db, format = 'json', signal }) {
  const why = sqlUnavailableReason();
  if (why) throw new RequestError(why, 501);
  if (!db) throw new RequestError('Choose a database for the SQL statement.', 0);
  const headers = { 'Content-Type': 'application/json' };
  const body = JSON.stringify({ db, q, format });
  return fetchOrFail('/api/v3/query_sql', { method: 'POST', headers, body, signal });
}

const routines = `SELECT DISTINCT routine_name AS name, description AS explained, syntax_example AS syntax
FROM information_schema.routines ORDER BY 1`;

let known = null;
let hadSql = false;

const forget = () => (known = null);
onToken(forget);
onPlace(forget);
onEngineState(() => {
  const { isReady } = sqlState();
  if (isReady !== hadSql) forget();
  hadSql = isReady;
});

/** Returns `{ name, parameters, explained }` for each function. Without SQL, the list is empty. */
export function sqlFunctions(db) {
  if (!db) return Promise.resolve([]);
  known ??= functionsOf(db).catch(() => []);
  return known;
}

async function functionsOf(db) {
  const text = await textOf(await querySql(routines, { db }));
  const byName = new Map(parseExact(text).map((one) => [one.name, one]));
  return [...byName.values()].map(({ name, syntax = '', explained = '' }) => ({
    name,
    parameters: /\((.*)\)/s.exec(syntax)?.[1] ?? '',
    // Some descriptions are a page long, so only the first sentence is displayed.
    explained: explained.trim().split(/(?<=\.)\s|\n/)[0],
  }));
}
