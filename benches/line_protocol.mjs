// Compares Tidemark's line protocol parser with the parser of InfluxDB 3. The parsers take turns.
// Both run natively, and as WASM in Node's V8.

import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { optimise } from '../scripts/modules.mjs';
import { must, startGroup } from '../scripts/processes.mjs';
import { at, newNode, targetFolder } from '../scripts/project.mjs';
import { median } from './ingest.mjs';
import { circumstances, record } from './results.mjs';

/** Measured turns of each shape. */
const rounds = 15;

const shapes = ['cpu integers', 'two decimals', 'full floats', 'iot mix', 'new series'];

/**
 * Builds the native benchmark with the release profile, and the module with the release options of
 * wasm-opt.
 */
export async function buildParsers() {
  const quiet = { quiet: true };
  const bench = ['bench', '--no-run', '--bench', 'line_protocol', '--message-format=json'];
  const output = await must('Building the native benchmark', 'cargo', bench, quiet);
  const native = JSON.parse(output.split('\n').findLast((line) => /"executable":"/.test(line)));
  return { native: native.executable, wasm: await buildModule() };
}

export async function buildModule() {
  const quiet = { quiet: true };
  const triple = 'wasm32-unknown-unknown';
  const example = ['build', '--release', '--target', triple, '--example', 'line_protocol_wasm'];
  await must('Building the benchmark for WASM', 'cargo', example, quiet);
  const built = join(targetFolder, triple, 'release', 'examples', 'line_protocol_wasm.wasm');
  const wasm = join(targetFolder, 'line_protocol_bench.wasm');
  await optimise(built, wasm);
  return wasm;
}

// Makes the native allocator keep freed memory, as the allocator in WASM does. Otherwise every
// batch would free and request the same pages, and the kernel would use a third of the native time.
const keepMemory = {
  MALLOC_TRIM_THRESHOLD_: '1000000000',
  MALLOC_MMAP_THRESHOLD_: '1000000000',
};

/**
 * Starts one form of the benchmark, native or WASM. `turn(shape)` resolves to the MB per CPU second
 * of each parser.
 */
function side(command, args) {
  const env = { ...process.env, ...keepMemory };
  const child = startGroup(command, args, { env, stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const turn = async (shape) => {
    child.stdin.write(`${shape}\n`);
    const { value, done } = await lines.next();
    if (done) throw new Error(`${command} ended; why is above`);
    const [bytes, ours, theirs] = value.split(' ').map(Number);
    return [(bytes / ours) * 1e3, (bytes / theirs) * 1e3];
  };
  return { turn, stop: () => child.stdin.end() };
}

/** Prints and records MB per CPU second, and the medians of the ratios in each turn. */
export async function parsers({ native: binary, wasm: module }) {
  const native = side(binary, ['turns']);
  const wasm = side(newNode(), [at('benches', 'line_protocol_wasm.mjs'), module]);
  const heads = [
    'shape', 'WASM', 'v3 WASM', 'ratio WASM', 'ratio to v3 native', 'native', 'v3 native', 'ratio native',
  ];
  const print = (cells) =>
    console.log(cells.map((cell, i) => (i ? cell.padStart(20) : cell.padEnd(14))).join(''));
  print(heads);
  const rows = [];
  try {
    for (const [shape, name] of shapes.entries()) {
      const turns = [];
      // The first rounds are a warm-up, because V8 is still optimising the code.
      for (let round = -2; round < rounds; round++) {
        const inTurn = round % 2 ? [wasm, native] : [native, wasm];
        const rates = new Map();
        for (const one of inTurn) rates.set(one, await one.turn(shape));
        if (round >= 0) turns.push([...rates.get(wasm), ...rates.get(native)]);
      }
      const of = (at) => median(turns.map((turn) => turn[at])).toFixed(0);
      const ratio = (a, b) => median(turns.map((turn) => turn[a] / turn[b])).toFixed(2);
      rows.push([name, of(0), of(1), ratio(0, 1), ratio(0, 3), of(2), of(3), ratio(2, 3)]);
      print(rows.at(-1));
    }
  } finally {
    native.stop();
    wasm.stop();
  }
  const notes = [
    ...circumstances(),
    '`npm run bench -- parsers`: MB of line protocol that are converted to columns per CPU second, natively and in Node’s ' +
      'V8. InfluxDB 3’s crate `influxdb-line-protocol` builds no columns.',
  ];
  const compared = heads.filter((head) => head.startsWith('ratio'));
  record({ title: 'Line protocol parsers', notes, head: heads, rows, compared });
}
