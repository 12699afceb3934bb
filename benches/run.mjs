// npm run bench: benchmarks of line protocol parsers, and of Tidemark with `wrangler dev`. In each
// benchmark, Tidemark and the programs to which it is compared take turns.
//
// Arguments: the names of the benchmarks to run. Without arguments, all benchmarks run except
// `shapes`, `rows`, `cold`, `sql`, `flight`, `hostile`, `host` and `scale`. These benchmarks run only
// if they are named.
//
// - `ingest`, `queries`, `shapes`, `rows`, `flight` and `host` accept `--quick`: a short run that is
//   not recorded.
// - `ingest`, `queries` and `shapes` also accept prefixes of the names of cases or types.
// - `shapes` also accepts `--sizes`.
// - `ingest` and `queries` accept `--native`: only the native host and its peers. With `--native`,
//   `scale` runs on the native host instead of workerd.
// - `shapes` and `sql` accept `--workerd`: the Worker instead of the native host.
// - `hostile` accepts `--seconds N`, and `host` accepts `--gigabytes N`.
// - `scale` accepts `--size full`, and `--only NAME` for each wanted scenario.

import { parseArgs } from 'node:util';

import { modules } from '../scripts/modules.mjs';
import { buildNative } from '../scripts/native.mjs';
import { endAllOnSignals, must } from '../scripts/processes.mjs';
import { finishWith, UserError } from '../scripts/project.mjs';
import { sqlConfiguration } from '../sql/process/binding.mjs';
import { packages, prepareAll, prepareSql, rust } from '../scripts/setup.mjs';
import { atRest, rowsRead } from './at_rest.mjs';
import { cold } from './cold.mjs';
import { flight } from './flight.mjs';
import { host } from './host.mjs';
import { hostile } from './hostile.mjs';
import { ingestTable } from './ingest_table.mjs';
import { largeResult } from './large_result.mjs';
import { buildParsers, parsers } from './line_protocol.mjs';
import { lists, queries } from './queries.mjs';
import { recordNative } from './queries_native.mjs';
import { types } from './query_types.mjs';
import { scale } from './scale.mjs';
import { hasInfluxdb, hasVictoriaMetrics, influxdb, native, plain, startAll, stopAll, tidemark, victoriaMetrics } from './servers.mjs';
import { shares } from './shares.mjs';
import { sql } from './sql.mjs';

const parts = ['parsers', 'shard', 'ingest', 'shares', 'rest', 'queries', 'shapes', 'rows', 'cold', 'sql', 'flight', 'hostile', 'host', 'scale'];
const { values: options, positionals: given } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean' },
    native: { type: 'boolean' },
    workerd: { type: 'boolean' },
    sizes: { type: 'boolean' },
    seconds: { type: 'string', default: '60' },
    gigabytes: { type: 'string', default: '1' },
    size: { type: 'string', default: 'small' },
    only: { type: 'string', multiple: true, default: [] },
  },
});
const { quick, native: onlyNative, workerd: onlyWorkerd } = options;
const ofNative = ['rows', 'flight', 'hostile', 'host', ...(onlyWorkerd ? [] : ['shapes', 'sql']), ...(onlyNative ? ['scale'] : [])];
const asked = parts.filter((part) => given.includes(part));
const names = given.filter((name) => !parts.includes(name));
const wanted = (part) => given.length === 0 || asked.includes(part);

function numberOf(option) {
  const number = Number(options[option]);
  if (!(number > 0)) throw new UserError(`--${option} ${options[option]}: it has to be a positive number.`);
  return number;
}

async function ingest(node) {
  const peer = hasInfluxdb() ? [() => influxdb()] : [];
  const workers = onlyNative ? [] : [() => tidemark(node), () => plain()];
  const starters = [...workers, () => native(), ...peer, ...(hasVictoriaMetrics() ? [victoriaMetrics] : [])];
  return ingestTable(starters, { quick, only: names, hasPeer: peer.length > 0, onlyNative });
}

/**
 * Runs the benchmark `rows`. Starts new servers, so that the data of earlier benchmarks has no
 * effect.
 */
async function rest(node) {
  // By default, InfluxDB would keep the last ten minutes in its log and cache.
  process.env.INFLUXDB_DATA_CACHE_SNAPSHOT_WRITE_COLD_DURATION = '5s';
  const peer = hasInfluxdb() ? [() => influxdb()] : [];
  const targets = await startAll([() => tidemark(node), ...peer]);
  try {
    await atRest(...targets, { only: names });
    await rowsRead(targets[0], names.length > 0);
  } finally {
    await stopAll(targets);
  }
}

async function shapesAtTwoSizes() {
  const start = (folder) => native(folder);
  const sides = [{ name: 'a hundred million', start, hours: 2778 }, { name: lists.sizes.peer, start, hours: 28 }];
  await queries(sides, { quick, asked: lists.sizes });
}

async function queryShapes() {
  const sides = onlyWorkerd
    ? [{ name: 'workerd', start: (folder) => plain(folder) }]
    : [{ name: 'native', start: (folder) => native(folder) }];
  if (hasInfluxdb()) sides.push({ name: 'InfluxDB', start: (folder) => influxdb(folder) });
  const only = names.filter((name) => lists.shapes.list.some((shape) => shape.name.startsWith(name)));
  await queries(sides, { quick, only, asked: onlyWorkerd ? lists.shapesOfWorkerd : lists.shapes });
}

async function sqlOfWorker(node) {
  await prepareSql();
  await sql(() => tidemark(node, undefined, { sql: sqlConfiguration }), { isWorker: true });
}

async function allQueries(node) {
  const peer = hasInfluxdb() ? [{ name: 'InfluxDB', start: (folder) => influxdb(folder) }] : [];
  const ours = { name: 'native', start: (folder) => native(folder) };
  const sides = onlyNative
    ? [ours, ...peer]
    : [
        { name: 'Tidemark', start: (folder) => tidemark(node, folder) },
        ...peer,
        { name: 'workerd', start: (folder) => plain(folder) },
        ours,
      ];
  const only = names.filter((name) => types.some((type) => type.name.startsWith(name)));
  if (!quick && !onlyNative && only.length === 0) {
    const bench = ['bench', '--bench', 'queries'];
    recordNative(await must('The benchmark of queries, natively', 'cargo', bench, { tee: true }));
  }
  await queries(sides, { quick, only, asked: onlyNative ? lists.ofNative : lists.types });
}

endAllOnSignals();
await finishWith(async () => {
  if (given.length > 0 && asked.length === 0) {
    throw new UserError(`There is no such part: say one of ${parts.join(', ')}.`);
  }
  let whole = true;
  if (wanted('parsers')) {
    await packages();
    await rust();
    await parsers(await buildParsers());
  }
  if (wanted('shard')) {
    await must('The benchmark of a shard', 'cargo', ['bench', '--bench', 'shard']);
  }
  if (['ingest', 'queries'].some(wanted) || ofNative.some((part) => asked.includes(part))) {
    await packages();
    await buildNative('native');
  }
  const modulesFor = async () => (onlyNative ? await packages() : await prepareAll());
  if (wanted('ingest')) whole = await ingest(await modulesFor());
  if (wanted('shares')) await shares(await prepareAll());
  if (wanted('rest')) await rest(await prepareAll());
  if (wanted('queries')) await allQueries(await modulesFor());
  if (onlyWorkerd && asked.includes('shapes')) {
    await packages();
    await modules();
  }
  if (asked.includes('shapes')) await (options.sizes ? shapesAtTwoSizes() : queryShapes());
  if (asked.includes('rows')) await largeResult(native, hasInfluxdb() ? influxdb : null, { isQuick: quick });
  if (asked.includes('cold')) {
    await packages();
    await modules();
    await cold(hasInfluxdb());
  }
  if (asked.includes('sql')) await (onlyWorkerd ? sqlOfWorker(await prepareAll()) : sql(native));
  if (asked.includes('flight')) await flight(native, hasInfluxdb() ? influxdb : null, { isQuick: quick });
  if (asked.includes('hostile')) {
    whole = (await hostile(native, { seconds: numberOf('seconds'), only: names })) && whole;
  }
  if (asked.includes('host')) await host({ gigabytes: numberOf('gigabytes'), quick });
  if (asked.includes('scale')) {
    await packages();
    if (!onlyNative) await modules();
    whole = (await scale(options)) && whole;
  }
  return whole ? 0 : 1;
});
