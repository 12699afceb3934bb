// npm test: runs all checks, the fastest first.
//
// Arguments: parts of step names. Without arguments all steps run. The last line shows the number
// of all tests. With TIDEMARK_REQUIRE_PROGRAMS=1 every skipped test counts as a failure, including
// tests whose program is missing.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import { consolePage, sqlPageFolder } from './console.mjs';
import { endAllOnSignals, run } from './processes.mjs';
import { buildNative, native } from './native.mjs';
import { at, finishWith, newNode, withClippy, wrangler } from './project.mjs';
import { engine, engineFolder, modules, packages, rust, sql as sqlWorker } from './setup.mjs';
import { documentationSite } from './site/site.mjs';
import { verdict } from './verdict.mjs';

/** The platform allows 64 MiB, and compiles the whole module when an isolate starts. */
const wasmBytesMax = 8_000_000;

const wasm = ['--target', 'wasm32-unknown-unknown'];
/** The platform's limit for the size of a file of the console. */
const assetBytesMax = 25 * 1024 * 1024;
const total = { passed: 0, failed: 0, failures: [], skipped: [] };
/** @type {string[]} */
const durations = [];

async function succeeds(command, args, env = {}) {
  const { code } = await run(command, args, { env });
  return code === 0 ? { passed: 1 } : { failed: 1 };
}

/**
 * Runs `cargo test`. A passing test that prints a line `SKIPPED name: reason` counts as skipped.
 */
async function cargoTests(args) {
  const all = ['test', '--no-fail-fast', ...args];
  const { code, output } = await run('cargo', all, { quiet: true, env: withClippy });
  const sum = (what) =>
    [...output.matchAll(new RegExp(`^test result: .*?(\\d+) ${what}`, 'gm'))]
      .map((found) => Number(found[1]))
      .reduce((a, b) => a + b, 0);
  const named = [...output.matchAll(/^SKIPPED (.*)$/gm)].map((found) => found[1]);
  const ignored = [...output.matchAll(/^test (\S+) \.\.\. ignored/gm)].map((found) => found[1]);
  const failed = sum('failed');
  const failures = [...output.matchAll(/^test (\S+) \.\.\. FAILED/gm)].map((found) => found[1]);
  if (code !== 0) process.stdout.write(output);
  return {
    passed: sum('passed') - named.length,
    // A test that fails to compile also counts as a failure.
    failed: failed || (code === 0 ? 0 : 1),
    failures,
    skipped: [...named, ...ignored],
  };
}

async function rustTests() {
  // `cargo test` does not compile the benchmarks.
  const built = await succeeds('cargo', ['build', '--workspace', '--all-targets'], withClippy);
  return built.failed ? built : cargoTests(['--workspace', '--', '--show-output']);
}

/** Runs the tests of the engine that must also pass in WASM. */
function wasmTests() {
  const runner = `${process.execPath} ${at('scripts', 'wasm-runner.mjs')}`;
  const args = ['test', '-p', 'tidemark-engine', ...wasm, '--test', 'portable'];
  return succeeds('cargo', args, { CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER: runner });
}

function wasmSize(file) {
  const plain = readFileSync(file);
  const packed = gzipSync(plain, { level: 9 }).length;
  console.log(`  ${plain.length} bytes of at most ${wasmBytesMax}; ${packed} gzipped`);
  return plain.length <= wasmBytesMax ? { passed: 1 } : { failed: 1 };
}

/**
 * Checks the browser's module: it must import nothing that only Workers provide, and must not
 * exceed the size limit of the Worker's module, because a page downloads it.
 */
async function browserModule() {
  await engine();
  const file = join(engineFolder, 'tidemark_bg.wasm');
  const imports = WebAssembly.Module.imports(await WebAssembly.compile(readFileSync(file)));
  const foreign = imports
    .map(({ module, name }) => `${module} ${name}`)
    .filter((name) => /cloudflare|worker|durable|sqlstorage|transactionsync|fetcher/i.test(name));
  console.log(`  ${imports.length} imports, ${foreign.length} of Workers`);
  for (const name of foreign) console.log(`  ${name}`);
  return foreign.length === 0 ? wasmSize(file) : { failed: 1 };
}

function sqlSize() {
  const { size } = statSync(join(sqlPageFolder, 'sql.wasm.gz'));
  console.log(`  ${size} bytes gzipped of at most ${assetBytesMax}`);
  return size <= assetBytesMax ? { passed: 1 } : { failed: 1 };
}

async function deployDryRun() {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-deploy-'));
  try {
    const args = [wrangler, 'deploy', '--dry-run', '--outdir', folder];
    return await succeeds(newNode(), args, { WRANGLER_SEND_METRICS: 'false' });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs all files, or the files whose names contain one of `names`. */
async function edgeTests(names = [], env = {}) {
  const { output } = await run(newNode(), [at('scripts', 'edge-tests.mjs'), ...names], { tee: true, env });
  const last = output.trimEnd().split('\n').at(-1);
  try {
    return JSON.parse(last);
  } catch {
    return { failed: 1 };
  }
}

function lint() {
  const program = at('node_modules', 'eslint', 'bin', 'eslint.js');
  return succeeds(newNode(), [program, '--max-warnings', '0']);
}

/**
 * The test files that also run against the native host. The workflow `nightly.yml` runs all files
 * against it.
 */
const nativeFiles = ['ping', 'tokens', 'packed', 'disconnect', 'busy', 'flight_recorded', '/sql.', 'clients_curl', 'clients_shell'];

async function nativeEdgeTests() {
  await buildNative();
  return edgeTests(nativeFiles, { TIDEMARK_HOST: 'native' });
}

async function types() {
  const program = at('node_modules', 'typescript', 'bin', 'tsc');
  const faulty = [];
  for (const project of ['tsconfig.json', 'www/tsconfig.json', 'www/workers.json']) {
    const { failed } = await succeeds(newNode(), [program, '--project', at(project)]);
    if (failed) faulty.push(project);
  }
  return { passed: 3 - faulty.length, failed: faulty.length, failures: faulty };
}

/** Needs no InfluxDB. */
const generatorRules = () => succeeds(process.execPath, ['--test', at('tests', 'generator', 'rules.test.mjs')]);

/** The seeds. The nightly run uses other seeds. */
const seeds = [7, 4141];
const queriesMax = 2_000;

/** Runs the random query tests. They are skipped if InfluxDB 1.x is not installed. */
async function randomQueries() {
  if (spawnSync('influxd', ['version']).error) {
    return { skipped: ['random queries: influxd is not installed (Debian package influxdb)'] };
  }
  const chosen = seeds.flatMap((seed) => ['--seed', String(seed)]);
  const args = [...chosen, '--queries', String(queriesMax), '--mutants', '1'];
  return succeeds(process.execPath, [at('tests', 'generator', 'run.mjs'), ...args]);
}

/**
 * Each step comes after the steps on which it depends.
 * @type {[string, () => Promise<any>][]}
 */
const steps = [
  ['npm packages', async () => (await packages(), { passed: 1 })],
  ['lint', lint],
  ['reference', () => succeeds(process.execPath, [at('scripts', 'reference.mjs'), '--check'])],
  ['site', async () => (await documentationSite(), { passed: 1 })],
  ['types', types],
  ['Rust', async () => (await rust(), { passed: 1 })],
  ['formatting', formatting],
  ['clippy, WebAssembly', clippy],
  ['Rust tests, with clippy', rustTests],
  ['permitted differences of random queries', generatorRules],
  ['random queries', randomQueries],
  ['documentation', documentation],
  ['wasm tests', wasmTests],
  ['release builds', async () => (await modules(), { passed: 1 })],
  ['wasm size', async () => wasmSize(at('build', 'index_bg.wasm'))],
  ['browser wasm size and imports', browserModule],
  ['console build', async () => (await consolePage(), { passed: 1 })],
  ['deploy dry run', deployDryRun],
  ['SQL, the Worker', async () => (await sqlWorker(), { passed: 1 })],
  ['SQL, size for the page', async () => sqlSize()],
  ['native host and SQL, with clippy', () => cargoTests(native)],
  ['native host, end to end', nativeEdgeTests],
  ['end to end', () => edgeTests()],
];

async function formatting() {
  const found = [];
  for (const where of ['.', 'native']) {
    found.push(await succeeds('cargo', ['fmt', '--check', '--manifest-path', at(where, 'Cargo.toml'), '--all']));
  }
  return found.some(({ failed }) => failed) ? { failed: 1 } : { passed: 1 };
}

/** Checks the code of the Worker and of the browser's module together. */
function clippy() {
  const targets = [...wasm, '--features', 'edge,browser', '--lib', '--example', 'line_protocol_wasm'];
  return succeeds('cargo', ['clippy', ...targets, '--', '-D', 'warnings']);
}

function documentation() {
  const flags = '-D rustdoc::broken_intra_doc_links -D rustdoc::invalid_html_tags';
  return succeeds('cargo', ['doc', '--workspace', '--no-deps', '--document-private-items'], { RUSTDOCFLAGS: flags });
}

async function take(number, [title, work]) {
  console.log(`\n[${number}/${steps.length}] ${title}`);
  const from = Date.now();
  let result;
  try {
    result = await work();
  } catch (error) {
    console.error(error.message);
    result = { failed: 1 };
  }
  const { passed = 0, failed = 0, failures = [], skipped = [] } = result;
  total.passed += passed;
  total.failed += failed;
  const named = failures.length === 0 && failed > 0 ? ['see its output above'] : failures;
  total.failures.push(...named.map((failure) => `${title}: ${failure}`));
  total.skipped.push(...skipped);
  const seconds = (Date.now() - from) / 1000;
  durations.push(`${title} ${Math.round(seconds)} s`);
  console.log(`[${number}/${steps.length}] ${title}: ${failed ? 'FAILED' : 'ok'} in ${seconds.toFixed(1)} s`);
}

endAllOnSignals();
await finishWith(async () => {
  const wanted = process.argv.slice(2);
  for (const [index, one] of steps.entries()) {
    if (wanted.length > 0 && !wanted.some((part) => one[0].includes(part))) continue;
    await take(index + 1, one);
  }
  console.log(`\nDurations: ${durations.join(', ')}`);
  const { lines, code } = verdict(total, process.env.TIDEMARK_REQUIRE_PROGRAMS === '1');
  for (const line of lines) console.log(line);
  return code;
});
