// Measures a dashboard with twenty panels for the last six hours. Five viewers refresh the
// dashboard while a writer writes.

import { setTimeout as delay } from 'node:timers/promises';

import { cpuSeconds } from '../cpu_time.mjs';
import { median, percentile } from '../ingest.mjs';
import { batches, fields, startNs } from '../tsbs.mjs';
import { create, rested } from './sides.mjs';
import { ofPeerAtMost, ratioAtMost, row } from './table.mjs';

const db = 'panels';
const hours = 6;
const refreshMs = 1_000;
const pointsPerBody = 5_000;
const startS = Number(startNs / 1_000_000_000n);

/** The number of concurrent requests that a browser sends to one server. */
const connectionsPerViewer = 6;

export const name = 'panels';

/** The sizes. The benchmark measures fewer refreshes on InfluxDB, because each takes seconds. */
export const sizes = {
  small: { hosts: 100, viewers: 5, refreshes: 10, peerRefreshes: 3, settle: 8 },
  full: { hosts: 100, viewers: 5, refreshes: 60, peerRefreshes: 10, settle: 20 },
};

/**
 * Returns the twenty queries of the panels. Ten of them combine all hosts, and ten group by host.
 */
function panelsAt(second) {
  const range = `time >= ${second - hours * 3600}s AND time < ${second}s`;
  return fields.flatMap((field) => [
    `SELECT mean(${field}) FROM cpu WHERE ${range} GROUP BY time(1m)`,
    `SELECT max(${field}) FROM cpu WHERE ${range} GROUP BY time(5m), hostname`,
  ]);
}

async function refresh(connections, second, found) {
  const left = panelsAt(second);
  await Promise.all(
    connections.map(async (connection) => {
      for (let q = left.shift(); q; q = left.shift()) {
        const { ms, error } = await connection.query(db, q);
        if (error) found.failures.push(error);
        else found.times.push(ms);
      }
    }),
  );
}

/** Writes 5,000 points for each second that has passed, until it is stopped. */
function writer(side, source) {
  let over = false;
  const times = [];
  const connection = side.line();
  const work = async () => {
    while (!over) {
      const from = performance.now();
      times.push(await connection.write(db, source.next().value, 'ns'));
      await delay(Math.max(0, refreshMs - (performance.now() - from)));
    }
  };
  const done = work();
  done.catch(() => {});
  const end = async () => {
    over = true;
    await done;
    connection.close();
    return times;
  };
  return { end };
}

/**
 * Refreshes the dashboard for all viewers. Returns the durations of the panels, the failures, and
 * the CPU seconds per refresh.
 */
async function watch(side, { hosts, viewers, refreshes: ours, peerRefreshes }) {
  const refreshes = side.isPeer ? peerRefreshes : ours;
  const endS = startS + hours * 3600;
  // While the viewers refresh, a writer sends fifty points per second for each host.
  const beside = live(hosts, endS);
  const all = Array.from({ length: viewers }, () =>
    Array.from({ length: connectionsPerViewer }, () => side.line()),
  );
  const found = { times: [], failures: [], cpu: [], writes: [] };
  const writing = writer(side, beside);
  try {
    for (let turn = 0; turn < refreshes; turn++) {
      const from = performance.now();
      const before = cpuSeconds(side.server.pid);
      await Promise.all(all.map((connections) => refresh(connections, endS + turn, found)));
      found.cpu.push(cpuSeconds(side.server.pid) - before);
      await delay(Math.max(0, refreshMs - (performance.now() - from)));
    }
  } finally {
    found.writes = await writing.end();
    all.flat().forEach((connection) => connection.close());
  }
  return found;
}

/** Yields request bodies that each contain one second of data, starting at `fromS`. */
function* live(hosts, fromS) {
  const stepNs = BigInt(Math.floor((1e9 * hosts) / pointsPerBody));
  const shift = BigInt(fromS) * 1_000_000_000n - startNs;
  for (const body of batches({ hosts, points: pointsPerBody, stepNs })) {
    yield String(body).replace(/\d+$/gm, (time) => String(BigInt(time) + shift));
  }
}

async function loadHours(sides, { hosts }) {
  const points = hosts * hours * 360;
  const source = batches({ hosts, points: pointsPerBody });
  for (const side of sides) await create(side, db);
  for (let sent = 0; sent < points; sent += pointsPerBody) {
    const body = String(source.next().value);
    await Promise.all(sides.map((side) => side.write(db, body, 'ns')));
  }
}

export async function run(sides, plan, say) {
  await loadHours(sides, plan);
  await rested(sides, plan.settle * 1000);
  const found = [];
  for (const side of sides) {
    found.push(await watch(side, plan));
    const { times, failures, cpu, writes } = found.at(-1);
    say(`${side.server.name}: median ${median(times).toFixed(1)} ms, p99 ` +
      `${percentile(times, 0.99).toFixed(0)} ms of ${times.length} panels, ${failures.length} ` +
      `failed; CPU s of refreshes ${cpu.map((s) => s.toFixed(2)).join(' ')}; ` +
      `${writes.length} batches, median ${median(writes).toFixed(0)} ms`);
  }
  return rowsOf(found, plan);
}

function rowsOf([ours, theirs], { viewers }) {
  const title = `20 panels, ${viewers} viewers`;
  const failed = ours.failures.length;
  const failure = failed > 0 ? `${failed} panels: ${ours.failures[0]}` : '';
  const at = (share) => ({
    large: percentile(ours.times, share),
    peer: theirs && percentile(theirs.times, share),
  });
  const shares = (figures) => ({ ...figures, ratio: figures.peer && figures.large / figures.peer });
  const third = ofPeerAtMost(1 / 3, '≤ 1/3 of InfluxDB, no failure');
  const tenth = { small: ours.cpu[0], large: ours.cpu[9], peer: theirs?.cpu[9] };
  const fifth = ratioAtMost(1 / 5, '≤ 1/5 of the first');
  return [
    row({ what: `${title}: median of a panel (the ratio is Tidemark ÷ InfluxDB)`, aim: third, ...shares(at(0.5)), failure }),
    row({ what: `${title}: p99 of a panel (the ratio is Tidemark ÷ InfluxDB)`, ...shares(at(0.99)) }),
    row({ what: `${title}: CPU s of the first and tenth refresh`, aim: fifth, ...tenth }),
  ];
}
