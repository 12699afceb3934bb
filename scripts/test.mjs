// Checks the project, the fastest steps first.
//
//   npm test                   what a change usually breaks
//   npm test -- --all          everything, with SQL, the native program and the release builds; CI runs this
//   npm test -- lint types     the steps whose names contain these words
//
// Steps for SQL, the native program and the site join the first form if the commits or the working tree change their
// folders. The last line shows the number of all tests. With TIDEMARK_REQUIRE_PROGRAMS=1 every skipped test counts as a
// failure, including tests whose program is missing.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import { consolePage } from './console.mjs';
import { engineFolder, modules, sql, sqlPageFolder, workerFolder } from './modules.mjs';
import { buildNative } from './native.mjs';
import { endAllOnSignals, run } from './processes.mjs';
import { at, finishWith, newNode, wrangler } from './project.mjs';
import { packages, rust } from './setup.mjs';
import { documentationSite } from '../docs/site/site.mjs';
import { slowest, verdict } from '../tests/verdict.mjs';

/** The platform allows 64 MiB, and compiles the whole module when an isolate starts. */
const wasmBytesMax = 8_000_000;
/** The platform's limit for the size of a file of the console. */
const assetBytesMax = 25 * 1024 * 1024;

const wasm = ['--target', 'wasm32-unknown-unknown'];
const nativeCrates = ['-p', 'tidemark-native', '-p', 'tidemark-sql'];

async function succeeds(command, args, env = {}) {
  const { code } = await run(command, args, { env });
  return code === 0 ? { passed: 1 } : { failed: 1 };
}

async function both(...checks) {
  const results = [];
  for (const check of checks) results.push(await check());
  return results.some(({ failed }) => failed) ? { failed: 1 } : { passed: 1 };
}

const done = async (work) => {
  await work;
  return { passed: 1 };
};

/**
 * Runs `cargo test`. A passing test that prints a line `SKIPPED name: reason` counts as skipped. RUSTC_BOOTSTRAP lets the
 * test programs print the time of each test. Only the test programs have this variable, so that cargo compiles nothing
 * again. With `--all`, random tests try eight times as many seeds.
 */
async function cargoTests(selected) {
  const runner = 'target."cfg(unix)".runner=["env", "RUSTC_BOOTSTRAP=1"]';
  const timed = process.platform === 'win32' ? [[], []] : [['--config', runner], ['-Zunstable-options', '--report-time']];
  const args = ['test', '--locked', '--no-fail-fast', '--tests', ...timed[0], ...selected, '--', '--show-output', ...timed[1]];
  const env = isAll ? { SEEDS_FACTOR: '8' } : {};
  const { code, output } = await run('cargo', args, { quiet: 'stdout', env });
  const sum = (what) =>
    [...output.matchAll(new RegExp(`^test result: .*?(\\d+) ${what}`, 'gm'))]
      .map((found) => Number(found[1]))
      .reduce((a, b) => a + b, 0);
  const named = [...output.matchAll(/^SKIPPED (.*)$/gm)].map((found) => found[1]);
  const ignored = [...output.matchAll(/^test (\S+) \.\.\. ignored/gm)].map((found) => found[1]);
  const failed = sum('failed');
  const failures = [...output.matchAll(/^test (\S+) \.\.\. FAILED/gm)].map((found) => found[1]);
  const times = [...output.matchAll(/^test (\S+).* \.\.\. \w+ <([\d.]+)s>$/gm)];
  if (code !== 0) process.stdout.write(output);
  return {
    passed: sum('passed') - named.length,
    // A test that fails to compile also counts as a failure.
    failed: failed || (code === 0 ? 0 : 1),
    failures,
    skipped: [...named, ...ignored],
    times: times.map(([, name, seconds]) => ({ name, seconds: Number(seconds) })),
  };
}

const clippy = (...selected) => succeeds('cargo', ['clippy', '--locked', ...selected, '--', '-D', 'warnings']);

/** Runs the tests of the engine that must also pass in WASM. */
function wasmTests() {
  const runner = `${process.execPath} ${at('scripts', 'wasm-runner.mjs')}`;
  const args = ['test', '--locked', '-p', 'tidemark-engine', ...wasm, '--test', 'portable'];
  return succeeds('cargo', args, { CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER: runner });
}

function documentation() {
  const flags = '-D rustdoc::broken_intra_doc_links -D rustdoc::invalid_html_tags';
  return succeeds('cargo', ['doc', '--locked', '--no-deps', '--document-private-items'], { RUSTDOCFLAGS: flags });
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
  const file = join(engineFolder, 'tidemark_bg.wasm');
  const imports = WebAssembly.Module.imports(await WebAssembly.compile(readFileSync(file)));
  const foreign = imports
    .map(({ module, name }) => `${module} ${name}`)
    .filter((name) => /cloudflare|worker|durable|sqlstorage|transactionsync|fetcher/i.test(name));
  console.log(`  ${imports.length} imports, ${foreign.length} of Workers`);
  for (const name of foreign) console.log(`  ${name}`);
  return foreign.length === 0 ? wasmSize(file) : { failed: 1 };
}

async function sqlModule() {
  await sql('sql-quick');
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

/** The arguments of tests/edge/run.mjs select files. */
async function edgeTests(files, env = {}) {
  await consolePage();
  const { output } = await run(newNode(), [at('tests', 'edge', 'run.mjs'), ...files], { tee: true, env });
  const last = output.trimEnd().split('\n').at(-1);
  try {
    return JSON.parse(last);
  } catch {
    return { failed: 1 };
  }
}

const lint = () => succeeds(newNode(), [at('node_modules', 'eslint', 'bin', 'eslint.js'), '--max-warnings', '0']);

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

/** The seeds. The nightly run uses other seeds. */
const seeds = [7, 4141];
const queriesMax = 2_000;

/** Runs the random query tests. They are skipped if InfluxDB 1.x is not installed. */
async function randomQueries() {
  const rules = await succeeds(process.execPath, ['--test', at('tests', 'generator', 'rules.test.mjs')]);
  if (rules.failed || spawnSync('influxd', ['version']).error) {
    return { ...rules, skipped: rules.failed ? [] : ['random queries: influxd is not installed (Debian package influxdb)'] };
  }
  const chosen = seeds.flatMap((seed) => ['--seed', String(seed)]);
  const args = [...chosen, '--queries', String(queriesMax), '--mutants', '1'];
  return succeeds(process.execPath, [at('tests', 'generator', 'run.mjs'), ...args]);
}

/** Returns the paths that differ from the branch into which the commits will be merged. */
function changedPaths() {
  const git = (...args) => spawnSync('git', args, { cwd: at(), encoding: 'utf8' });
  const isKnown = (branch) => git('rev-parse', '--quiet', '--verify', branch).status === 0;
  const upstream = ['@{upstream}', 'origin/HEAD', 'origin/main', 'main'].find(isKnown);
  const base = upstream && git('merge-base', 'HEAD', upstream).stdout.trim();
  const committed = base ? git('diff', '--name-only', base).stdout : '';
  const untracked = git('ls-files', '--others', '--exclude-standard').stdout ?? '';
  return `${committed}${untracked}`.split('\n').filter(Boolean);
}

/** Returns whether a change affects one of the folders. */
let changed;
const touches = (...folders) => {
  changed ??= changedPaths();
  return changed.some((path) => folders.some((folder) => path.startsWith(folder)));
};

const always = () => true;
const onlyWithAll = () => false;
const withNative = () => touches('native/', 'sql/');

/**
 * The steps. Each comes after the steps on which it depends. `when` tells whether the step runs without `--all`. `first`
 * and `again` are its seconds on two cores, in a fresh clone and if nothing has changed.
 * @type {{ title: string, when: () => boolean, first: number, again: number, work: () => Promise<any> }[]}
 */
const steps = [
  { title: 'npm packages', when: always, first: 40, again: 1, work: () => done(packages()) },
  { title: 'lint', when: always, first: 15, again: 15, work: lint },
  { title: 'types', when: always, first: 10, again: 10, work: types },
  { title: 'Rust', when: always, first: 1, again: 1, work: () => done(rust()) },
  { title: 'formatting', when: always, first: 2, again: 2, work: () => succeeds('cargo', ['fmt', '--check', '--all']) },
  {
    title: 'clippy', when: always, first: 120, again: 2,
    work: () => clippy('--all-targets'),
  },
  {
    title: 'clippy, the Worker and the page', when: () => touches('src/', 'crates/browser/'), first: 80, again: 2,
    work: () => clippy(...wasm, '-p', 'tidemark', '-p', 'tidemark-browser', '--lib', '--example', 'line_protocol_wasm'),
  },
  { title: 'Rust tests', when: always, first: 300, again: 60, work: () => cargoTests([]) },
  { title: 'examples in the documentation', when: always, first: 5, again: 5, work: () => succeeds('cargo', ['test', '--locked', '--doc']) },
  { title: 'documentation', when: onlyWithAll, first: 60, again: 5, work: documentation },
  { title: 'wasm tests', when: onlyWithAll, first: 60, again: 2, work: wasmTests },
  { title: 'random queries', when: onlyWithAll, first: 60, again: 60, work: randomQueries },
  { title: 'site', when: () => touches('docs/', 'docs/site/'), first: 40, again: 1, work: () => done(documentationSite()) },
  { title: 'clippy, native program and SQL', when: withNative, first: 180, again: 2, work: () => clippy('--all-targets', ...nativeCrates, '-p', 'tidemark-fuzz') },
  { title: 'Rust tests, native program and SQL', when: withNative, first: 400, again: 60, work: () => cargoTests(nativeCrates) },
  { title: 'quick build', when: () => !isAll, first: 120, again: 2, work: () => done(modules('quick')) },
  { title: 'release build', when: onlyWithAll, first: 240, again: 2, work: () => done(modules('release')) },
  { title: 'size of the Worker', when: onlyWithAll, first: 1, again: 1, work: async () => wasmSize(join(workerFolder, 'index_bg.wasm')) },
  { title: "size and imports of the browser's module", when: onlyWithAll, first: 1, again: 1, work: browserModule },
  { title: 'deploy dry run', when: onlyWithAll, first: 10, again: 10, work: () => both(() => done(consolePage()), deployDryRun) },
  { title: 'SQL, the Worker', when: () => touches('sql/'), first: 300, again: 2, work: sqlModule },
  { title: 'native program, end to end', when: withNative, first: 120, again: 120, work: nativeEdgeTests },
  { title: 'end to end', when: () => !isAll, first: 120, again: 120, work: () => edgeTests(['--usual']) },
  { title: 'end to end, all', when: onlyWithAll, first: 900, again: 900, work: () => edgeTests([]) },
];

const total = { passed: 0, failed: 0, failures: [], skipped: [] };
const times = [];
const durations = [];

async function take(place, { title, first, again, work }) {
  const lasts = Math.max(first, again) < 10 ? '' : ` (${duration(first)} in a fresh clone, ${duration(again)} if nothing has changed)`;
  console.log(`\n[${place}] ${title}${lasts}`);
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
  times.push(...(result.times ?? []));
  const seconds = (Date.now() - from) / 1000;
  durations.push(`${title} ${Math.round(seconds)} s`);
  console.log(`[${place}] ${title}: ${failed ? 'FAILED' : 'ok'} in ${seconds.toFixed(1)} s`);
}

const duration = (seconds) => (seconds < 90 ? `${seconds} s` : `${Math.round(seconds / 60)} min`);

const given = process.argv.slice(2);
const isAll = given.includes('--all');
const words = given.filter((word) => word !== '--all');

endAllOnSignals();
await finishWith(async () => {
  const chosen = steps.filter(({ title, when }) =>
    words.length > 0 ? words.some((word) => title.includes(word)) : when() || (isAll && !['quick build', 'end to end'].includes(title)));
  const sum = (key) => duration(chosen.reduce((all, step) => all + step[key], 0));
  console.log(`${chosen.length} steps: about ${sum('first')} with two cores in a fresh clone, ${sum('again')} if nothing has changed`);
  for (const [index, step] of chosen.entries()) await take(`${index + 1}/${chosen.length}`, step);
  console.log(`\nDurations: ${durations.join(', ')}`);
  if (times.length > 0) console.log(`\nThe slowest tests:\n${slowest(times).join('\n')}\n`);
  const { lines, code } = verdict(total, process.env.TIDEMARK_REQUIRE_PROGRAMS === '1');
  for (const line of lines) console.log(line);
  return code;
});
