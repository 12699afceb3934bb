// tidemark costs: shows the usage of a deployment. The numbers come from the deployment's own
// counters and from the platform's counters.

import { aboutCosts } from '../lib/built.mjs';
import { UserError } from '../lib/command.mjs';
import { Connection, connectionHelp, connectionOptions } from '../lib/connection.mjs';
import { billed, daysMax, lastDates, ownCounters, ownDays, ownSeries, ownSkipped, platformDays, priceOf, priceOfDay, priceOfMonth } from '../lib/costs.mjs';
import { printTable } from '../lib/table.mjs';

const analytics = () => (process.env.CLOUDFLARE_API_BASE_URL || 'https://api.cloudflare.com/client/v4').replace(/\/+$/, '');
const dollars = (amount) => `$${amount.toFixed(amount < 0.1 ? 4 : 2)}`;

function wholeDays(text) {
  const days = Number(text);
  if (Number.isInteger(days) && days >= 1 && days <= daysMax) return days;
  throw new UserError(`"${text}" is not a number of days: set --days to a number from 1 to ${daysMax}.`);
}

/** The quantities that a deployment counts itself, by their names in the price table. */
const ownBilled = ['object_requests', 'object_gb_s', 'rows_read', 'rows_written'];

async function printOwn(connection, { prices, object_gb: objectGb }) {
  const series = await ownSeries(connection);
  const rows = [...ownCounters(series)].map(([name, { points, requests, rowsRead, rowsWritten, bytes }]) => [
    name,
    points,
    requests,
    rowsRead,
    rowsWritten,
    dollars(priceOf(prices.rows_read, rowsRead) + priceOf(prices.rows_written, rowsWritten)),
    dollars(priceOf(prices.storage_gb, bytes / 1e9)),
  ]);
  console.log('The counts of the deployment since the creation of each shard:\n');
  printTable(['database', 'points', 'write requests', 'rows read', 'rows written', 'rows', 'storage a month'], rows);
  const days = [...ownDays(series, objectGb)].map(([date, day]) => [date, ...ownBilled.map((name) => Math.round(day[name])), dollars(priceOfDay(prices, day))]);
  console.log("\nThe counts of the databases' objects for each day (UTC). The object time is an estimate of 50 ms for each request:\n");
  printTable(['day', ...ownBilled.map((name) => name.replaceAll('_', ' ')), 'price'], days);
  const skipped = ownSkipped(series);
  if (skipped.length > 0) console.log(`\nThe counts do not include some objects of ${skipped.join(', ')}, because the request reached the limit of calls (CALLS_PER_REQUEST_MAX).`);
}

async function printPlatform(from, count, { prices }) {
  const days = await platformDays(from, lastDates(count, Date.now()));
  const rows = [...days].map(([date, day]) => [date, ...billed.map((name) => Math.round(day[name])), dollars(priceOfDay(prices, day))]);
  console.log(`\nCloudflare's counts of the Worker ${from.script} for each day (UTC):\n`);
  printTable(['day', ...billed.map((name) => name.replaceAll('_', ' ')), 'price'], rows);
  const month = dollars(priceOfMonth(prices, [...days.values()]));
  console.log(`\nAt this usage, a month costs ${month}. This includes the price of the plan, but not storage and logs.`);
}

async function run({ name, days, ...options }, words) {
  if (words.length > 0) throw new UserError(`Unexpected argument "${words[0]}". See tidemark costs --help.`);
  const count = wholeDays(days);
  const costs = aboutCosts();
  await printOwn(new Connection(options), costs);
  const [token, account] = [process.env.CLOUDFLARE_API_TOKEN, process.env.CLOUDFLARE_ACCOUNT_ID];
  if (token && account) return printPlatform({ url: analytics(), token, account, script: name }, count, costs);
  console.log('\nFor the counters of Cloudflare set CLOUDFLARE_API_TOKEN (permission "Account Analytics: Read") and CLOUDFLARE_ACCOUNT_ID.');
}

/** @type {import('../lib/command.mjs').Command} */
export default {
  summary: 'shows the usage of a deployment and its cost',
  usage: '[--name NAME] [--days N]',
  about: `
The command prints the counters of the deployment's own objects for each database, and for each of the last days
(SHOW STATS, which needs the admin token). With CLOUDFLARE_API_TOKEN and CLOUDFLARE_ACCOUNT_ID in the environment,
it also prints the counters that Cloudflare bills, for each of the last days: requests of the Worker and of objects,
object time, rows read and written, and their price. The Cloudflare token needs the permission "Account Analytics:
Read". The prices date from the day on which this version was made (docs/COSTS.md).

${connectionHelp}`,
  options: {
    name: { value: 'NAME', fallback: 'tidemark', help: 'the name of the Worker, as in `tidemark deploy --name`' },
    days: { value: 'N', fallback: '7', help: `the number of whole days before today, at most ${daysMax}` },
    ...connectionOptions,
  },
  examples: [
    ['TIDEMARK_URL=https://tidemark.example.workers.dev tidemark costs', "show the deployment's own counters"],
    ['tidemark costs --days 30', 'with CLOUDFLARE_API_TOKEN and CLOUDFLARE_ACCOUNT_ID: also show each day of a month'],
  ],
  run,
};
