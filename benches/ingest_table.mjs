// Measures points per second, CPU time and latencies of writes. Tidemark, InfluxDB and VictoriaMetrics
// take turns.
//
// Each case starts new servers with one database, so that Tidemark flushes during the measurement.
// After the last turn, the benchmark compares the responses of the servers.

import { sameAnswer } from './answers.mjs';
import { compressed, median, percentile, slice } from './ingest.mjs';
import { circumstances, record } from './results.mjs';
import { ask, startAll, stopAll } from './servers.mjs';
import { shapes } from './shapes.mjs';

const db = 'ingest';

/**
 * The numbers of batches per turn. `warm` batches are not measured. Then `alone` batches use one
 * connection, and `together` batches use several connections.
 */
const plans = {
  // The p99 latency includes flushes, because 300 batches cause about five flushes.
  whole: { turns: 3, alone: 100, together: 60, warm: 30 },
  quick: { turns: 1, alone: 20, together: 20, warm: 10 },
};

/** Maps points per batch to the factor by which the number of batches is multiplied. */
const timesAsMany = { 1000: 3, 100: 10, 1: 20 };

/** `aim` is the target for the ratio of the Worker to InfluxDB's rate. */
const one = (shape, connections, aim, more = {}) => ({ shape, connections, aim, points: 5000, ...more });

const cases = [
  ...[false, true].flatMap((gzip) => [
    one('cpu integers', 1, 4, { gzip }),
    one('cpu integers', 4, '', { gzip }),
    one('cpu integers', 8, 3.5, { gzip }),
  ]),
  one('cpu integers', 32, ''),
  ...[1, 8].map((connections) => one('cpu integers', connections, 1.5, { points: 1000 })),
  ...[100, 1].flatMap((points) => [1, 8].map((connections) => one('cpu integers', connections, '', { points }))),
  ...[['two decimals', 3], ['full floats', 2.5], ['iot mix', 3], ['million series', 3]].flatMap(
    ([shape, aim]) => [1, 8, 32].map((connections) => one(shape, connections, connections === 32 ? '' : aim)),
  ),
];

/** The target for the ratio of the native host to InfluxDB's rate. */
const nativeAim = ({ points, connections }) => ({ 100: 3, 1: 1.5 })[points] ?? (connections === 32 ? 15 : 12);

const sizeOf = (points) => `${points.toLocaleString('en-US')}-point batches`;

function nameOf({ shape, points, gzip, connections }) {
  const how = [gzip ? 'gzip' : '', points === 5000 ? '' : sizeOf(points)].filter(Boolean);
  return [shape, ...how, `${connections} connection${connections > 1 ? 's' : ''}`].join(', ');
}

/**
 * The statements with which the responses are compared, by case. InfluxDB needs a long time to
 * count a million series, so this statement counts only a part.
 */
const checks = { 'million series': "SELECT count(*) FROM m WHERE site = 's7'" };

const head = [
  'case', 'k points/s', 'InfluxDB', 'ratio', 'aim', 'CPU s/M', 'InfluxDB CPU s/M', 'CPU ratio',
  'p50 ms', 'p99 ms', 'InfluxDB p50 ms', 'InfluxDB p99 ms', 'VictoriaMetrics', 'ratio to it',
];
const compared = ['ratio', 'CPU ratio', 'ratio to it'];
const peers = ['InfluxDB', 'VictoriaMetrics'];

/**
 * Runs the cases whose names contain a word that starts with a text of `only`. `starters` start the
 * servers, with `wrangler dev` or the only host first. Resolves to whether every case was measured.
 */
export async function ingestTable(starters, { quick = false, only = [], hasPeer = true, onlyNative = false } = {}) {
  const isWanted = (name) => {
    const words = name.split(/,? /);
    return only.length === 0 || only.some((text) => words.some((word) => word.startsWith(text)));
  };
  const wanted = cases
    .filter((each) => isWanted(nameOf(each)))
    .map((each) => (onlyNative ? { ...each, aim: nativeAim(each) } : each));
  const rows = [];
  let failed = 0;
  print(head);
  for (const each of wanted) {
    try {
      rows.push(...(await measure(starters, each, plans[quick ? 'quick' : 'whole'])));
    } catch (error) {
      failed += 1;
      console.error(`${nameOf(each)} could not be measured: ${error.stack}`);
    }
  }
  if (!hasPeer || rows.length === 0) return failed === 0;
  const notes = [
    ...circumstances(),
    onlyNative
      ? '`npm run bench -- ingest --native`: the native host.'
      : '`npm run bench -- ingest`: the first row of each case is `wrangler dev` with the development settings of ' +
        '`npm start` (no local observability, no log of requests, `WRANGLER_LOG=error`). The next rows are plain ' +
        '`workerd serve` and the native host.',
    'Each case starts new servers and has three turns, in which the servers alternate. A turn starts ' +
      'when the background work of the turn before has ended. The bodies are compressed in advance.',
    'VictoriaMetrics acknowledges a write before the write is on disk. InfluxDB and Tidemark acknowledge a write only ' +
      'when it is on disk. The column *VictoriaMetrics* contains thousands of points per second.',
    'The ratio is the points per second ÷ the points per second of InfluxDB in the same turn (median of the turns). ' +
      'CPU s/M is the number of CPU seconds of all processes per million points, until the server is idle again. The ' +
      'CPU ratio is InfluxDB ÷ Tidemark. p50 and p99 are latencies of a batch in all turns, including flushes.',
  ];
  const partial = quick || wanted.length < cases.length || failed > 0;
  record({ title: onlyNative ? 'Ingest, native host' : 'Ingest', notes, head, rows, compared, partial });
  return failed === 0;
}

function print(cells) {
  const widths = [62, 10, 9, 6, 4, 8, 17, 10, 7, 7, 16, 16, 16, 12];
  const line = cells.map((cell, i) => (i ? ` ${cell}`.padStart(widths[i]) : cell.padEnd(widths[i])));
  console.log(line.join(''));
}

async function measure(starters, each, plan) {
  const targets = await startAll(starters);
  try {
    const results = await turns(targets, each, plan);
    const answers = [];
    const check = checks[each.shape] ?? 'SELECT count(*) FROM /.*/';
    const influxql = targets.filter(answersInfluxql);
    for (const target of influxql) answers.push(await ask(target, db, check));
    for (const [i, answer] of answers.entries()) {
      const difference = i > 0 && sameAnswer(answers[0], answer);
      if (difference) throw new Error(`${influxql[0].name} and ${influxql[i].name}: ${difference}`);
    }
    const theirs = peers.map((name) => results[targets.findIndex((target) => target.name === name)]);
    const rows = [];
    for (const [i, target] of targets.entries()) {
      if (peers.includes(target.name)) continue;
      const name = `${nameOf(each)}${i > 0 ? `, ${target.name}` : ''}`;
      rows.push(cells(name, i > 0 ? '' : each.aim, results[i], theirs, i === 0));
      print(rows.at(-1));
    }
    return rows;
  } finally {
    await stopAll(targets);
  }
}

const answersInfluxql = (target) => target.name !== 'VictoriaMetrics';

async function turns(targets, { shape, connections, points, gzip }, plan) {
  const [, , , make] = shapes.find(([name]) => name === shape);
  const generator = make({ points });
  // The case has exactly a million series: 20 batches of warm-up, and 3 × 60 batches.
  const isMillion = shape === 'million series';
  const more = timesAsMany[points] ?? 1;
  const batches = (connections === 1 && !isMillion ? plan.alone : plan.together) * more;
  const warm = isMillion ? 20 : plan.warm * more;
  for (const target of targets.filter(answersInfluxql)) await ask(target, '', `CREATE DATABASE ${db}`);
  const results = targets.map(() => []);
  for (let turn = 0; turn <= plan.turns; turn++) {
    const bodies = [];
    while (bodies.length < (turn === 0 ? warm : batches)) bodies.push(generator.next().value.body);
    const sent = gzip ? bodies.map(compressed) : bodies;
    const order = targets.map((_, i) => (turn % 2 ? targets.length - 1 - i : i));
    for (const i of order) {
      const options = { connections, pointsPerBody: points, gzip };
      const result = await slice(targets[i], db, sent, options);
      if (turn > 0) results[i].push(result);
    }
  }
  return results;
}

function cells(name, aim, ours, [theirs, victoria], withPeer) {
  const of = (results, key) => median(results.map((result) => result[key]));
  const ratio = (key, above, below) =>
    median(above.map((result, turn) => result[key] / below[turn][key])).toFixed(2);
  // With one point per batch, the servers reach only some hundred points per second.
  const thousands = (results) => {
    const rate = of(results, 'rate') / 1000;
    return rate < 20 ? rate.toFixed(1) : Math.round(rate);
  };
  const cpu = (results) => of(results, 'cpuPerMillion').toFixed(2);
  const latency = (results, share) =>
    percentile(results.flatMap(({ latencies }) => latencies), share).toFixed(1);
  const peer = (cell) => (theirs && withPeer ? cell() : '');
  const ifVictoria = (cell) => (victoria ? cell() : '');
  return [
    name,
    thousands(ours),
    peer(() => thousands(theirs)),
    theirs ? ratio('rate', ours, theirs) : '',
    aim,
    cpu(ours),
    peer(() => cpu(theirs)),
    theirs ? ratio('cpuPerMillion', theirs, ours) : '',
    latency(ours, 0.5),
    latency(ours, 0.99),
    peer(() => latency(theirs, 0.5)),
    peer(() => latency(theirs, 0.99)),
    withPeer ? ifVictoria(() => thousands(victoria)) : '',
    ifVictoria(() => ratio('rate', ours, victoria)),
  ].map(String);
}
