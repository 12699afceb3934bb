// What the page does, without the page: every function here also runs in a test.

/** The three commands that show the whole path on this server. */
export function curlLines(origin) {
  const curl = `curl -H 'Authorization: Token TOKEN' '${origin}`;
  return [
    `${curl}/query' --data-urlencode 'q=CREATE DATABASE demo'`,
    `${curl}/write?db=demo' --data-binary 'weather,city=Oslo temperature=12.5'`,
    `${curl}/query?db=demo' --data-urlencode 'q=SELECT * FROM weather'`,
  ];
}

/**
 * Posts `{ token, database, q }` to /query. Returns `{ tables, errors }`, as [rowsOf] does; whatever
 * goes wrong on the way is an error too.
 */
export async function runQuery(fetch, { token, database, q }) {
  const body = new URLSearchParams({ q });
  if (database) body.set('db', database);
  const headers = { Authorization: `Token ${token}`, Accept: 'application/json' };
  try {
    const response = await fetch('/query', { method: 'POST', headers, body });
    return rowsOf(await response.text(), response.status);
  } catch (error) {
    return { tables: [], errors: [`The server could not be reached: ${error.message}`] };
  }
}

/** Keeps the digits of an integer that a number would round. */
function exact(key, value, context) {
  const isRounded = typeof value === 'number' && !Number.isSafeInteger(value);
  return isRounded && /^-?\d+$/.test(context?.source ?? '') ? context.source : value;
}

/**
 * The tables and errors in the text of a reply of /query. A table is `{ title, columns, rows }`, and
 * a row has one text per column; null is the empty text.
 */
export function rowsOf(text, status) {
  let reply;
  try {
    reply = JSON.parse(text, exact);
  } catch {
    return { tables: [], errors: [`The server answered ${status}: ${text.slice(0, 500)}`] };
  }
  const results = reply.results ?? [];
  const errors = [reply, ...results].map(({ error }) => error).filter((error) => error);
  const tables = results.flatMap(({ series = [] }) => series.map(tableOf));
  return { tables, errors };
}

function tableOf({ name = '', tags = {}, columns = [], values = [] }) {
  const labels = Object.entries(tags).map(([key, value]) => `${key}=${value}`);
  const title = [name, ...labels].filter((part) => part).join(', ');
  const rows = values.map((row) => row.map((value) => (value === null ? '' : String(value))));
  return { title, columns, rows };
}
