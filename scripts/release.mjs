// npm run release: performs every step of a release that needs no network.
// .github/workflows/release.yml calls the other commands.
//
//   make [FOLDER [TAG]]          builds, records the modules, writes the release and its checksums
//   record                       records the built modules, for the upgrade test
//   pin TAG OWNER/NAME FOLDER    writes prebuilt.json and the README's deploy button for a release

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';

import { archives, archivesFolder } from './archive.mjs';
import { hasReleasedSql } from './modules.mjs';
import { packPackage } from './package.mjs';
import { pack } from './prebuilt.mjs';
import { endAllOnSignals } from './processes.mjs';
import { at, finishWith, lockedCrate, UserError } from './project.mjs';
import { prepareAll } from './setup.mjs';

/**
 * Returns the name of the archive that deployments without Rust download (scripts/prebuilt.mjs).
 */
const modulesOf = (tag) => `tidemark-${tag}.tar.gz`;

/** The name of the file with the checksums, in the format of sha256sum. */
const sumsFile = 'SHA256SUMS';

/** The placeholder line in the README that a release replaces with the deploy button. */
const buttonPlace = '<!-- deploy button -->\n';

/** Matches the link for any repository. */
const buttonLink = /(https:\/\/deploy\.workers\.cloudflare\.com\/\?url=https:\/\/github\.com\/)[\w.-]+\/[\w.-]+/g;

const button = (repository) => `\
[![Deploy to Cloudflare](https://deploy.workers.cloudflare.com/button)](https://deploy.workers.cloudflare.com/?url=https://github.com/${repository})

The button copies the repository to your account, requests the admin token, and deploys. If the modules of the newest release
match the checksum in \`prebuilt.json\`, the deployment uses them and does not need Rust. From a clone:
`;

/** Returns the version, which is the same for all packages. */
export const version = () => JSON.parse(readFileSync(at('package.json'), 'utf8')).version;

export function declaredVersions() {
  const json = (path) => JSON.parse(readFileSync(at(path), 'utf8'));
  const crate = (path) => readFileSync(at(path), 'utf8').match(/^\[(?:workspace\.)?package\][^[]*?^version = "([^"]+)"/m)?.[1];
  const lock = json('package-lock.json');
  return {
    'package.json': version(),
    'package-lock.json': lock.version,
    'package-lock.json, packages': lock.packages[''].version,
    'packages/tidemark/package.json': json('packages/tidemark/package.json').version,
    'Cargo.toml': crate('Cargo.toml'),
    'Cargo.lock': lockedCrate('tidemark'),
  };
}

/** Throws if the files do not all have the same version. */
export function needsOneVersion(said = declaredVersions()) {
  const others = Object.entries(said).filter(([, found]) => found !== said['package.json']);
  if (others.length === 0) return;
  const list = others.map(([where, found]) => `${where} has ${found}`).join(', ');
  throw new UserError(`All files of a release must have the same version: package.json has ${said['package.json']}, and ${list}.`);
}

export const recordedRelease = (of, name) => at('tests', 'data', 'releases', of, name);

/** Throws if tests/data has no recorded storage and message formats of this version. */
export function needsFixtures(of = version()) {
  if (existsSync(at('tests', 'data', 'format', of, 'messages.txt'))) return;
  throw new UserError(
    `The formats of ${of} are not recorded: run \`RECORD_FORMAT=1 cargo test --test it frozen\`, and commit ` +
      `tests/data/format/${of}.`,
  );
}

/** Returns whether the version is tagged. The records of a tagged version must not change. */
const isReleased = () =>
  spawnSync('git', ['rev-parse', '--quiet', '--verify', `refs/tags/v${version()}`], { cwd: at() }).status === 0;

/** Records the built modules. The records must be committed before the tag is created. */
function recordModules() {
  for (const name of ['index.js', 'index_bg.wasm']) {
    const place = recordedRelease(version(), `${name}.gz`);
    mkdirSync(dirname(place), { recursive: true });
    writeFileSync(place, gzipSync(readFileSync(at('build', name)), { level: 9 }));
  }
}

/**
 * Returns the changelog's section of a version. If the version has no section and no tag, returns
 * the section "Unreleased".
 */
export function notesOf(changelog, wanted, isTagged) {
  const sections = changelog.split(/^(?=## )/m);
  const of = (name) => sections.find((section) => new RegExp(`^## \\[?${name.replaceAll('.', '\\.')}\\b`).test(section));
  const found = of(wanted) ?? (isTagged ? undefined : of('Unreleased'));
  if (!found) throw new UserError(`CHANGELOG.md has no section "## ${wanted}": rename the section "Unreleased".`);
  return `${found.replace(/^## .*\n+/, '').trimEnd()}\n`;
}

/**
 * Copies the archives into the release. A release with a tag must have all archives, and other
 * releases may lack some.
 */
export function addArchives(from, folder, isTagged) {
  const [made, missing] = [true, false].map((isThere) => archives().filter((name) => existsSync(join(from, name)) === isThere));
  if (isTagged && missing.length > 0) throw new UserError(`${from} does not contain ${missing.join(', ')}: run \`npm run archive\`.`);
  for (const name of made) copyFileSync(join(from, name), join(folder, name));
}

function writeSums(folder) {
  const names = readdirSync(folder).filter((name) => name !== sumsFile).sort();
  const sum = (name) => createHash('sha256').update(readFileSync(join(folder, name))).digest('hex');
  writeFileSync(join(folder, sumsFile), names.map((name) => `${sum(name)}  ${name}\n`).join(''));
}

/** Deletes the contents of `folder` first. */
export async function makeRelease(folder, tag = `v${version()}`, { isTagged = false, from = archivesFolder } = {}) {
  if (tag !== `v${version()}`) throw new UserError(`The tag is ${tag}, but the version in package.json is ${version()}.`);
  const notes = notesOf(readFileSync(at('CHANGELOG.md'), 'utf8'), version(), isTagged);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  await pack(join(folder, modulesOf(tag)));
  await packPackage(folder);
  addArchives(from, folder, isTagged);
  writeFileSync(join(folder, 'notes.md'), notes);
  writeSums(folder);
}

export function needsSql(hasIt = hasReleasedSql()) {
  if (hasIt) return;
  throw new UserError(
    'sql/build does not contain a release build of SQL for these sources: run `npm run sql -- release`, ' +
      'which takes about an hour with two cores.',
  );
}

async function make(folder = at('.cache', 'release'), tag = undefined) {
  const target = resolve(folder);
  // Disables downloads, so that the build fails if a dependency is missing.
  Object.assign(process.env, { CARGO_NET_OFFLINE: 'true', npm_config_offline: 'true' });
  needsOneVersion();
  needsFixtures();
  needsSql();
  await prepareAll();
  if (tag === undefined && !isReleased()) recordModules();
  if (!existsSync(recordedRelease(version(), 'index_bg.wasm.gz'))) {
    throw new UserError('The modules of this version are not recorded: run `npm run release` before you set the tag.');
  }
  await makeRelease(target, tag, { isTagged: tag !== undefined });
  console.log(`\nIn ${target}:\n${readFileSync(join(target, sumsFile), 'utf8')}`);
}

function pin(tag, repository, folder) {
  const name = modulesOf(tag);
  const sums = join(folder, sumsFile);
  const line = existsSync(sums) && readFileSync(sums, 'utf8').split('\n').find((one) => one.endsWith(`  ${name}`));
  if (!line) throw new UserError(`${sums} does not contain ${name}.`);
  const url = `https://github.com/${repository}/releases/download/${tag}/${name}`;
  writeFileSync(at('prebuilt.json'), `${JSON.stringify({ tag, url, sha256: line.split(' ')[0] }, null, 2)}\n`);
  const readme = readFileSync(at('README.md'), 'utf8');
  const placed = readme.replace(buttonPlace, () => button(repository));
  writeFileSync(at('README.md'), placed.replace(buttonLink, `$1${repository}`));
}

/** Each command with the minimum and maximum number of its arguments. */
const steps = { make: [make, 0, 2], record: [recordModules, 0, 0], pin: [pin, 3, 3] };

if (process.argv[1] === at('scripts', 'release.mjs')) {
  endAllOnSignals();
  await finishWith(async () => {
    const [what, ...given] = process.argv.slice(2);
    const [step, least, most] = steps[what] ?? [];
    if (!step || given.length < least || given.length > most) {
      throw new UserError('usage: release.mjs make [FOLDER [TAG]] | release.mjs record | release.mjs pin TAG OWNER/NAME FOLDER');
    }
    await step(...given);
  });
}
