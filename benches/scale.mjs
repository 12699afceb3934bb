// npm run bench -- scale: Tidemark on plain workerd beside InfluxDB, at a small and a large size.
//
// A scenario is a file of `scale/`: its name, what each size means to it, and `run`, which answers
// with rows of the table. Which are run, and how large, is said by words: scale/choices.mjs.

import { circumstances, record } from './results.mjs';
import { chosen, choices, planOf } from './scale/choices.mjs';
import * as deletes from './scale/deletes.mjs';
import * as fields from './scale/fields.mjs';
import * as history from './scale/history.mjs';
import * as measurements from './scale/measurements.mjs';
import * as mixed from './scale/mixed.mjs';
import * as neighbours from './scale/neighbours.mjs';
import * as panels from './scale/panels.mjs';
import * as series from './scale/series.mjs';
import * as shards from './scale/shards.mjs';
import { head, markdown, row } from './scale/table.mjs';
import { hasInfluxdb } from './servers.mjs';

const scenarios = [history, measurements, series, shards, panels, deletes, fields, neighbours, mixed];

/** In the log InfluxDB would keep the last ten minutes. */
const influxdbColdSetting = 'INFLUXDB_DATA_CACHE_SNAPSHOT_WRITE_COLD_DURATION';

/**
 * Runs what `args` ask for and prints the table; that of a scenario of size `full` is written to RESULTS.md: all
 * of them take two hours, so each has a table of its own. Answers whether every scenario came to its end.
 */
export async function scale(args) {
  const choice = choices(args);
  const wanted = chosen(scenarios, choice);
  const hasPeer = hasInfluxdb();
  process.env[influxdbColdSetting] = '5s';
  const isRecorded = choice.size === 'full' && Object.keys(choice.changes).length === 0 && hasPeer;
  const rows = [];
  let broken = 0;
  for (const scenario of wanted) {
    const plan = planOf(scenario, choice);
    const say = (text) => console.log(`  ${text}`);
    console.log(`- ${scenario.name}: ${JSON.stringify(plan)}`);
    const from = performance.now();
    try {
      const own = await scenario.run(plan, { hasPeer, say });
      rows.push(...own);
      if (isRecorded) record({ title: `Scale: ${scenario.name}`, notes: notes(scenario, plan), head, rows: own });
    } catch (error) {
      broken += 1;
      console.error(error.stack);
      rows.push(row({ what: scenario.name, failure: error.message }));
    }
    console.log(`  ${((performance.now() - from) / 1000).toFixed(0)} s`);
  }
  console.log(`\n${markdown(rows).join('\n')}`);
  return broken === 0;
}

function notes({ name }, plan) {
  return [
    ...circumstances(),
    `\`npm run bench -- scale --size full --only ${name}\`: ${JSON.stringify(plan).replaceAll('"', '').slice(1, -1)}`,
    'plain `workerd` and InfluxDB on this machine by turns; ms ' +
      'unless a row says otherwise; cold: the first query of a database after a restart of the ' +
      'server, which has answered one of another database; warm: the median of later ones',
    'small and large size: what each row says (before and under load, first and tenth, …); ratio: ' +
      'large ÷ small, less is better; InfluxDB: at the large size',
  ];
}
