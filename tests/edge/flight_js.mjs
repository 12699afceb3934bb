// Runs every case of flight_cases.mjs with @influxdata/influxdb3-client, in Node and in a page.
// This file has no imports, because the page loads it directly.

/** Reading a million row objects takes longer than the default timeout of one minute. */
const patienceMs = 300_000;
const lateMs = 50;

export async function rowsOf(client, ...asked) {
  const rows = [];
  for await (const row of client.query(...asked)) rows.push(row);
  return rows;
}

const failure = (act) => act().then(() => null, (error) => `${error.code ?? error.name} ${error.message}`);

/**
 * Converts a value for the comparison. Whole numbers become numbers, and timestamps, which have
 * only milliseconds, become texts.
 */
function plain(name, value) {
  if (name === 'time') return new Date(value).toISOString().slice(0, 19).replace('T', ' ');
  return typeof value === 'bigint' ? Number(value) : (value ?? null);
}

const shown = (rows) => rows.map((row) => Object.fromEntries(Object.keys(row).sort().map((name) => [name, plain(name, row[name])])));

async function begun(client) {
  const rows = client.query('SELECT host, v, w, i, time FROM million', 'd');
  const { done } = await rows.next();
  await rows.return();
  return [done ? 0 : 1, (await rowsOf(client, 'SELECT 1 AS one', 'd')).length];
}

async function million(client) {
  let [count, sum, width] = [0, 0, 0];
  for await (const row of client.query('SELECT host, v, w, i, time FROM million', 'd')) {
    count += 1;
    sum += row.v;
    if (count === 1) width = Object.keys(row).length;
  }
  return [count, width, sum];
}

/** Runs the cases that only this client supports. Throws if a case fails. */
async function bound(client) {
  const must = (is, said) => {
    if (!is) throw new Error(said);
  };
  const counted = async (condition, params) => {
    const [{ n }] = await rowsOf(client, `SELECT count(*) AS n FROM types WHERE ${condition}`, 'd', { type: 'sql', params });
    return Number(n);
  };
  must((await counted('host = $host AND f > $f AND i = $i AND b = $b', { host: 'a', f: 0.5, i: 1, b: true })) === 1, 'parameters');
  const influxql = await rowsOf(client, 'SELECT v FROM many', 'd', { type: 'influxql' });
  must(influxql.length > 1_000 && influxql[0]['iox::measurement'] === 'many', 'InfluxQL');
  must((await rowsOf(client, 'SELECT v FROM nothing', 'd', { type: 'influxql' })).length === 0, 'no measurement');
}

/**
 * Runs all cases with clients that `made(token, options)` creates. Resolves to the results.
 * @param {(token: string, options?: object) => any} made
 */
export async function casesOf(made, { token, other }) {
  const client = made(token, { queryTimeout: patienceMs });
  await bound(client);
  const ask = (of, q) => rowsOf(of, q, 'd');
  const two = await Promise.all([0, 1_000].map((from) => ask(client, `SELECT v FROM many WHERE v >= ${from}`)));
  const late = made(token, { queryTimeout: lateMs });
  const from = performance.now();
  const error = await failure(() => million(late));
  const seen = {
    types: shown(await ask(client, 'SELECT * FROM types ORDER BY time')),
    empty: await ask(client, 'SELECT f, host FROM types WHERE i > 1000'),
    wrong: await failure(() => ask(client, 'SELEC 1')),
    unknown: await failure(() => ask(client, 'SELECT * FROM nothing')),
    token: await failure(() => ask(made('wrong'), 'SELECT 1')),
    other: await failure(() => ask(made(other), 'SELECT 1')),
    two: two.map(({ length }) => length),
    million: await million(client),
    cancelled: await begun(client),
    deadline: [error, performance.now() - from < patienceMs],
  };
  await client.close();
  return seen;
}
