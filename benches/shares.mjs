// Measures the parts of the CPU time of a write with 5,000 points of TSBS cpu-only data.
//
// The clock does not advance inside workerd, so the benchmark cannot time the steps of the runtime.
// Instead it compares small Workers (`floor.js`): each Worker performs one more step than the
// previous Worker. The time of Tidemark's code is measured in Node's V8, with the same build as in
// the Worker.

import { createInterface } from 'node:readline';

import { endGroup, startGroup } from '../scripts/processes.mjs';
import { at, newNode } from '../scripts/project.mjs';
import { serve } from '../tests/edge/workerd.mjs';
import { compressed, slice } from './ingest.mjs';
import { buildModule } from './line_protocol.mjs';
import { circumstances, record } from './results.mjs';
import { ask, plain, stopAll, tidemark } from './servers.mjs';
import { batches } from './tsbs.mjs';

const points = 5000;
const warmBatches = 60;
/** The number of batches per turn, which cause several flushes. */
const turnBatches = 120;
const turns = 6;

const steps = ['body', 'call', 'exec'];
const floorScript = at('benches', 'floor.js');

const startFloor = (folder) =>
  serve({ folder, modules: [floorScript], objects: ['Catalog', 'Database', 'Shard'] });

const places = (node) => [
  ['wrangler dev', () => tidemark(node, undefined, { script: floorScript }), () => tidemark(node)],
  ['workerd serve', () => plain(undefined, startFloor), () => plain()],
];

/**
 * Returns the CPU milliseconds per batch of each Worker. Each turn has many batches, because the
 * resolution of /proc is a hundredth of a second.
 */
async function ladder([name, floor, product], bodies, gzip) {
  const targets = [];
  try {
    for (const start of [floor, product]) targets.push(await start());
    await ask(targets[1], '', 'CREATE DATABASE whole');
    const sides = [...steps.map((step) => [targets[0], step]), [targets[1], 'whole']];
    const ms = sides.map(() => 0);
    for (let turn = 0; turn <= turns; turn++) {
      const sent = turn === 0 ? bodies.slice(0, warmBatches) : bodies;
      for (const [i, [target, db]] of sides.entries()) {
        const options = { connections: 1, pointsPerBody: points, gzip };
        const { cpuPerMillion } = await slice(target, db, sent, options);
        // One second per million points equals one microsecond per point.
        if (turn > 0) ms[i] += (cpuPerMillion * points) / 1000 / turns;
      }
    }
    const rungs = [...steps, 'whole'].map((step, i) => `${step} ${ms[i].toFixed(2)}`);
    console.log(`  ${name}${gzip ? ', gzip' : ''}, CPU ms per batch: ${rungs.join(', ')}`);
    return ms;
  } finally {
    await stopAll(targets);
  }
}

/** Returns the milliseconds of each stage of Tidemark's code for a batch in Node's V8. */
async function stages(module) {
  const args = [at('benches', 'stages_wasm.mjs'), module, String(warmBatches), String(turnBatches * 2)];
  const child = startGroup(newNode(), args, { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const { value, done } = await lines.next();
    if (done) throw new Error('the stages could not be timed; why is above');
    return JSON.parse(value);
  } finally {
    await endGroup(child);
  }
}

export async function shares(node) {
  const own = await stages(await buildModule());
  const generator = batches({ points });
  const bodies = Array.from({ length: turnBatches }, () => generator.next().value);
  const zipped = bodies.map(compressed);
  const columns = [];
  for (const gzip of [false, true]) {
    for (const place of places(node)) {
      const [body, call, exec, whole] = await ladder(place, gzip ? zipped : bodies, gzip);
      const parts = [
        ['body hand-over', body],
        ['inflate', gzip ? own.inflate : 0],
        ['parse', own.parse],
        ['encode', own.encode],
        ['object call', call - body],
        ['exec and commit', exec - call],
        ['decode and append', own.append],
        ['flush', own.flush],
      ];
      const known = parts.reduce((sum, [, ms]) => sum + ms, 0);
      const all = [...parts, ['rest', whole - known], ['whole', whole]];
      columns.push({ name: `${place[0]}${gzip ? ', gzip' : ''}`, all, whole });
    }
  }
  const head = ['part of a batch', ...columns.flatMap(({ name }) => [`${name} ms`, '%'])];
  const rows = columns[0].all.map(([name], row) => {
    const cells = columns.map(({ all, whole }) => {
      const [, ms] = all[row];
      return [ms.toFixed(2), ((ms / whole) * 100).toFixed(0)];
    });
    return [name, ...cells.flat()];
  });
  for (const row of [head, ...rows]) {
    console.log(row.map((cell, i) => (i ? cell.padStart(i % 2 ? 24 : 5) : cell.padEnd(20))).join(''));
  }
  const notes = [
    ...circumstances(),
    `\`npm run bench -- shares\`: the CPU milliseconds of ${points} points of TSBS cpu-only data over one connection. The ` +
      `frame has ${own.frameBytes} bytes.`,
    '*Body hand-over*, *object call*, *exec* and *commit* are the times by which each of these steps makes a ' +
      'Worker without other work slower (`floor.js`), including wrangler’s own processes',
    '*Inflate*, *parse*, *encode*, *decode and append* and *flush* (the share of one batch, with merges) are the times of ' +
      'our code in Node’s V8, from the fastest tenth of the runs. *Rest* is the difference to the whole time.',
  ];
  record({ title: 'Shares of a batch', notes, head, rows });
}
