// npm run bench -- scale: compares Tidemark on plain workerd, or with `--native` on the native host,
// with InfluxDB, for a small and a large size. A scenario is a file in `scale/`, whose `run` resolves
// to rows of the table. InfluxDB is the last of its `sides`.

import { UserError } from '../scripts/project.mjs';
import { circumstances, record, table } from './results.mjs';
import * as deletes from './scale/deletes.mjs';
import * as fields from './scale/fields.mjs';
import * as history from './scale/history.mjs';
import * as measurements from './scale/measurements.mjs';
import * as mixed from './scale/mixed.mjs';
import * as neighbours from './scale/neighbours.mjs';
import * as panels from './scale/panels.mjs';
import * as series from './scale/series.mjs';
import * as shards from './scale/shards.mjs';
import { influxdbSide, isNative, stopSides, tidemarkSide } from './scale/sides.mjs';
import { head, row } from './scale/table.mjs';
import { hasInfluxdb } from './servers.mjs';

const scenarios = [history, measurements, series, shards, panels, deletes, fields, neighbours, mixed];

/**
 * The setting that makes InfluxDB write its cache to files soon. By default, it would keep the last
 * ten minutes in its log.
 */
const influxdbColdSetting = 'INFLUXDB_DATA_CACHE_SNAPSHOT_WRITE_COLD_DURATION';

/** Returns the scenarios with these names, or without names all scenarios. */
function chosen(size, names) {
  if (!['small', 'full'].includes(size)) throw new UserError(`--size ${size}: it has to be small or full.`);
  const known = scenarios.map(({ name }) => name);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown) throw new UserError(`There is no scenario ${unknown}: say one of ${known.join(', ')}.`);
  return scenarios.filter(({ name }) => names.length === 0 || names.includes(name));
}

/**
 * Runs the scenarios. Each scenario has its own table, because all scenarios together take two
 * hours. Resolves to whether every scenario completed.
 */
export async function scale({ size, only }) {
  const wanted = chosen(size, only);
  const hasPeer = hasInfluxdb();
  process.env[influxdbColdSetting] = '5s';
  const isRecorded = size === 'full' && hasPeer;
  const rows = [];
  let broken = 0;
  for (const scenario of wanted) {
    const plan = scenario.sizes[size];
    const say = (text) => console.log(`  ${text}`);
    console.log(`- ${scenario.name}: ${JSON.stringify(plan)}`);
    const from = performance.now();
    try {
      const own = await measured(scenario, plan, hasPeer, say);
      rows.push(...own);
      const title = `Scale: ${scenario.name}${isNative ? ', native host' : ''}`;
      if (isRecorded) record({ title, notes: notes(scenario, plan), head, rows: own });
    } catch (error) {
      broken += 1;
      console.error(error.stack);
      rows.push(row({ what: scenario.name, failure: error.message }));
    }
    console.log(`  ${((performance.now() - from) / 1000).toFixed(0)} s`);
  }
  console.log(`\n${table(head, rows).join('\n')}`);
  return broken === 0;
}

/** Starts the servers of the scenario, and stops them at the end. */
async function measured({ servers = () => [['Tidemark']], hasNoPeer = false, run }, plan, hasPeer, say) {
  const sides = [];
  try {
    for (const [label, vars] of servers(plan)) sides.push(await tidemarkSide(label, vars));
    if (hasPeer && !hasNoPeer) sides.push(await influxdbSide());
    return await run(sides, plan, say);
  } finally {
    await stopSides(sides);
  }
}

function notes({ name, note }, plan) {
  const [option, ours] = isNative ? [' --native', 'The native host'] : ['', 'Plain `workerd`'];
  return [
    ...circumstances(),
    `\`npm run bench -- scale --size full --only ${name}${option}\`: ${JSON.stringify(plan).replaceAll('"', '').slice(1, -1)}`,
    `${ours} and InfluxDB ran alternately on this machine. The figures are milliseconds unless the row names ` +
      'another unit. *Cold* is the first query of a database after a restart of the server. Before this query, the ' +
      'server has already served another database. *Warm* is the median of later queries.',
    'Each row defines *small* and *large*: for example, before a load and during the load. The ratio is large ÷ small, ' +
      'and less is better. The figure of InfluxDB is for the large size.',
    ...(note ? [note] : []),
  ];
}
