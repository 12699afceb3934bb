// Calculates the costs of a deployment from the prices, the platform's daily counters, and the
// deployment's own counters.

import { UserError } from './command.mjs';

/** The billed counters, by their names in the price table. */
export const billed = ['worker_requests', 'worker_cpu_ms', 'object_requests', 'object_gb_s', 'rows_read', 'rows_written'];

const dayMs = 86_400_000;
const monthDays = 30;
/** The number of days for which the platform stores counters. */
export const daysMax = 31;
/** The maximum number of groups in a response of the platform's API. */
const groupsMax = 10_000;
const callMs = 60_000;

const empty = () => Object.fromEntries(billed.map((name) => [name, 0]));

/** Ignores the amounts that the plan includes. */
export const priceOf = ({ dollars, per }, quantity) => (quantity * dollars) / per;

export const priceOfDay = (prices, day) => billed.reduce((sum, name) => sum + priceOf(prices[name], day[name]), 0);

/**
 * Returns the price of a month with the mean usage of `days`, in dollars. The amounts that the plan
 * includes are free.
 */
export function priceOfMonth(prices, days) {
  const month = (name) => (days.reduce((sum, day) => sum + day[name], 0) / days.length) * monthDays;
  const beyond = (name) => priceOf(prices[name], Math.max(0, month(name) - prices[name].included));
  return billed.reduce((sum, name) => sum + beyond(name), prices.plan_dollars_per_month);
}

/** Returns the dates of the last `count` complete days before `now` (UTC), in ascending order. */
export function lastDates(count, now) {
  const date = (ago) => new Date(now - ago * dayMs).toISOString().slice(0, 10);
  return Array.from({ length: count }, (_, n) => date(count - n));
}

/**
 * The query for the platform's counters. It selects objects by namespace, because their counters do
 * not contain the script's name.
 */
const query = `query Costs($account: string!, $script: string!, $from: Date!, $to: Date!) {
  viewer { accounts(filter: { accountTag: $account }) {
    workers: workersInvocationsAdaptive(limit: ${groupsMax}, filter: { scriptName: $script, date_geq: $from, date_leq: $to }) {
      dimensions { date } sum { requests cpuTimeUs }
    }
    invocations: durableObjectsInvocationsAdaptiveGroups(limit: ${groupsMax}, filter: { scriptName: $script, date_geq: $from, date_leq: $to }) {
      dimensions { date namespaceId } sum { requests }
    }
    periods: durableObjectsPeriodicGroups(limit: ${groupsMax}, filter: { date_geq: $from, date_leq: $to }) {
      dimensions { date namespaceId } sum { cpuTime duration rowsRead rowsWritten }
    }
  } }
}`;

async function asked({ url, token, account, script }, [from, to]) {
  const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' };
  const body = JSON.stringify({ query, variables: { account, script, from, to } });
  const init = { method: 'POST', headers, body, signal: AbortSignal.timeout(callMs) };
  const response = await fetch(`${url}/graphql`, init).catch((error) => {
    throw new UserError(`${url} does not respond (${error.cause?.code ?? error.message}).`);
  });
  const { data, errors } = await response.json().catch(() => ({}));
  const [accounts] = data?.viewer?.accounts ?? [];
  if (response.ok && accounts && !errors?.length) return accounts;
  const why = errors?.[0]?.message ?? (response.ok ? 'the token cannot read this account' : response.status);
  throw new UserError(
    `Cloudflare's analytics rejected the request: ${why}. CLOUDFLARE_API_TOKEN needs the permission "Account Analytics: Read", ` +
      'and CLOUDFLARE_ACCOUNT_ID must name the account.',
  );
}

/**
 * Returns counters by date.
 * @param {{ url: string, token: string, account: string, script: string }} from
 * @param {string[]} dates
 */
export async function platformDays(from, dates) {
  const { workers, invocations, periods } = await asked(from, [dates[0], dates.at(-1)]);
  const days = new Map(dates.map((date) => [date, empty()]));
  const add = ({ dimensions: { date } }, name, quantity) => {
    const day = days.get(date);
    if (day) day[name] += quantity;
  };
  for (const group of workers) {
    add(group, 'worker_requests', group.sum.requests);
    add(group, 'worker_cpu_ms', group.sum.cpuTimeUs / 1_000);
  }
  const own = new Set(invocations.map(({ dimensions }) => dimensions.namespaceId));
  for (const group of invocations) add(group, 'object_requests', group.sum.requests);
  for (const group of periods) {
    if (!own.has(group.dimensions.namespaceId)) continue;
    add(group, 'worker_cpu_ms', group.sum.cpuTime / 1_000);
    add(group, 'object_gb_s', group.sum.duration);
    add(group, 'rows_read', group.sum.rowsRead);
    add(group, 'rows_written', group.sum.rowsWritten);
  }
  return days;
}

export async function ownSeries(connection) {
  const { results } = await (await connection.query('SHOW STATS')).json();
  const [{ series = [], error }] = results;
  if (error) throw new UserError(`SHOW STATS: ${error}`);
  return series;
}

/** Returns the deployment's own counters. They begin when an object is created. */
export function ownCounters(series) {
  const databases = new Map();
  for (const { name, tags, columns, values } of series) {
    if (name !== 'shard' && name !== 'database') continue;
    const of = (column) => values[0][columns.indexOf(column)] ?? 0;
    const sums = databases.get(tags.database) ?? { points: 0, requests: 0, rowsRead: 0, rowsWritten: 0, bytes: 0 };
    databases.set(tags.database, sums);
    if (name === 'shard') {
      sums.points += of('writePointsOk');
      sums.requests += of('writeReqOk');
    }
    sums.rowsRead += of('rowsRead');
    sums.rowsWritten += of('rowsWritten');
    sums.bytes += of('diskBytes');
  }
  return databases;
}

/**
 * Returns the usage of each day, ascending by date, in the units of the price table. The object
 * time is the server's estimate.
 * @param {{ name: string, columns: string[], values: any[][] }[]} series
 * @param {number} objectGb the memory that the platform bills for each object, in GB
 */
export function ownDays(series, objectGb) {
  const days = new Map();
  for (const { columns, values } of series.filter(({ name }) => name === 'usage')) {
    for (const row of values) {
      const of = (column) => row[columns.indexOf(column)];
      const day = days.get(of('day')) ?? empty();
      days.set(of('day'), day);
      day.object_requests += of('requests');
      day.object_gb_s += of('objectSecondsEstimate') * objectGb;
      day.rows_read += of('rowsRead');
      day.rows_written += of('rowsWritten');
    }
  }
  return new Map([...days].sort(([one], [other]) => one.localeCompare(other)));
}

/** Returns the databases whose objects did not report counters to SHOW STATS. */
export const ownSkipped = (series) => series.filter(({ name }) => name === 'skipped').flatMap(({ values }) => values.map(([database]) => database));
