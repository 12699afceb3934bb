// npm run release: everything that a release needs, without the network. And two steps of
// .github/workflows/release.yml.
//
//   make [FOLDER [TAG]]          builds, records the modules, and writes all files of the release with their checksums
//   record                       records the modules that are built, for the test of upgrades
//   pin TAG OWNER/NAME FOLDER    writes prebuilt.json and the README's deploy button for that release

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';

import { imageContext } from './image.mjs';
import { packPackage } from './package.mjs';
import { pack, packFlags } from './prebuilt.mjs';
import { endAllOnSignals, must } from './processes.mjs';
import { at, finishWith, lockedCrate, Sentence } from './project.mjs';
import { everything, hasReleasedSql } from './setup.mjs';

/** The built modules, for those who deploy from a clone without Rust (scripts/prebuilt.mjs). */
const modulesOf = (tag) => `tidemark-${tag}.tar.gz`;

/** In the form of sha256sum. */
const sumsFile = 'SHA256SUMS';

/** Where the README's button goes: before the first release there is nothing that it could deploy. */
const buttonPlace = '<!-- deploy button -->\n';

/** The link of the deploy button, whichever repository it names. */
const buttonLink = /(https:\/\/deploy\.workers\.cloudflare\.com\/\?url=https:\/\/github\.com\/)[\w.-]+\/[\w.-]+/g;

const button = (repository) => `\
[![Deploy to Cloudflare](https://deploy.workers.cloudflare.com/button)](https://deploy.workers.cloudflare.com/?url=https://github.com/${repository})

The button copies the repository into your account's, asks for the admin token, and deploys; no Rust is
needed, because the modules of the newest release are taken if their checksum is the one in
\`prebuilt.json\`. From a clone:
`;

/** The one version of all packages. */
export const version = () => JSON.parse(readFileSync(at('package.json'), 'utf8')).version;

/** The version that each place says, by its name. */
export function versionsSaid() {
  const json = (path) => JSON.parse(readFileSync(at(path), 'utf8'));
  const crate = (path) => readFileSync(at(path), 'utf8').match(/^\[package\][^[]*?^version = "([^"]+)"/m)?.[1];
  const lock = json('package-lock.json');
  return {
    'package.json': version(),
    'package-lock.json': lock.version,
    'package-lock.json, packages': lock.packages[''].version,
    'packages/tidemark/package.json': json('packages/tidemark/package.json').version,
    'Cargo.toml': crate('Cargo.toml'),
    'Cargo.lock': lockedCrate('tidemark'),
    'sql/Cargo.toml': crate('sql/Cargo.toml'),
    'sql/Cargo.lock': lockedCrate('tidemark', 'sql/Cargo.lock'),
    'sql/Cargo.lock, SQL': lockedCrate('tidemark-sql', 'sql/Cargo.lock'),
  };
}

/** Stops where not everything has the one version. */
export function needsOneVersion(said = versionsSaid()) {
  const others = Object.entries(said).filter(([, found]) => found !== said['package.json']);
  if (others.length === 0) return;
  const list = others.map(([where, found]) => `${where} has ${found}`).join(', ');
  throw new Sentence(`A release has one version, that of package.json is ${said['package.json']}, and ${list}.`);
}

/** Where the module `name` of a release is recorded: later releases are tested against it. */
export const recordedRelease = (of, name) => at('tests', 'data', 'releases', of, name);

/** Stops where nothing is recorded of what this version stores and sends. */
export function needsFixtures(of = version()) {
  if (existsSync(at('tests', 'data', 'format', of, 'messages.txt'))) return;
  throw new Sentence(
    `What ${of} stores and sends is not recorded: \`RECORD_FORMAT=1 cargo test --test it frozen\` makes ` +
      `tests/data/format/${of}, which is committed.`,
  );
}

/** Whether the version is released: what is recorded of it stays as it is then. */
const isReleased = () =>
  spawnSync('git', ['rev-parse', '--quiet', '--verify', `refs/tags/v${version()}`], { cwd: at() }).status === 0;

/** Records the modules of the Worker, which are committed before the tag. */
export function recordModules() {
  for (const name of ['index.js', 'index_bg.wasm']) {
    const place = recordedRelease(version(), `${name}.gz`);
    mkdirSync(dirname(place), { recursive: true });
    writeFileSync(place, gzipSync(readFileSync(at('build', name)), { level: 9 }));
  }
}

/**
 * What the changelog says of a version. Until that has a section the notes are those of what is not released yet, for
 * a tag they have to be its own.
 */
export function notesOf(changelog, wanted, isTagged) {
  const sections = changelog.split(/^(?=## )/m);
  const of = (name) => sections.find((section) => new RegExp(`^## \\[?${name.replaceAll('.', '\\.')}\\b`).test(section));
  const found = of(wanted) ?? (isTagged ? undefined : of('Unreleased'));
  if (!found) throw new Sentence(`CHANGELOG.md has no section "## ${wanted}": that of "Unreleased" becomes it.`);
  return `${found.replace(/^## .*\n+/, '').trimEnd()}\n`;
}

/** The folder `name` of `parent` as an archive that is the same whenever it is made. */
const packFolder = (archive, parent, name) => must('Packing', 'tar', ['-C', parent, ...packFlags, '-czf', archive, name]);

async function makeImage(archive, folder) {
  const name = `tidemark-image-${version()}`;
  imageContext(archive, join(folder, name));
  await packFolder(join(folder, `${name}.tar.gz`), folder, name);
  rmSync(join(folder, name), { recursive: true });
}

function writeSums(folder) {
  const names = readdirSync(folder).filter((name) => name !== sumsFile).sort();
  const sum = (name) => createHash('sha256').update(readFileSync(join(folder, name))).digest('hex');
  writeFileSync(join(folder, sumsFile), names.map((name) => `${sum(name)}  ${name}\n`).join(''));
}

/** Writes all files of the release into `folder`, which has nothing else. */
export async function makeRelease(folder, tag = `v${version()}`, { isTagged = false } = {}) {
  if (tag !== `v${version()}`) throw new Sentence(`The tag is ${tag}, and the version in package.json ${version()}.`);
  const notes = notesOf(readFileSync(at('CHANGELOG.md'), 'utf8'), version(), isTagged);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  await pack(join(folder, modulesOf(tag)));
  await makeImage(await packPackage(folder), folder);
  copyFileSync(at('packages', 'systemd', 'tidemark.service'), join(folder, 'tidemark.service'));
  writeFileSync(join(folder, 'notes.md'), notes);
  writeSums(folder);
}

/** Stops where the packages of a release would be without SQL, or with a quickly compiled one. */
export async function needsSql(hasIt = hasReleasedSql()) {
  if (await hasIt) return;
  throw new Sentence(
    'A release has SQL, and what is in sql/build is not it: `npm run sql -- release` builds it of these sources, ' +
      'which takes about an hour with two cores.',
  );
}

async function make(folder = at('.cache', 'release'), tag = undefined) {
  const target = resolve(folder);
  // Whatever is missing for it is named, and not fetched.
  Object.assign(process.env, { CARGO_NET_OFFLINE: 'true', npm_config_offline: 'true' });
  needsOneVersion();
  needsFixtures();
  await needsSql();
  await everything();
  if (tag === undefined && !isReleased()) recordModules();
  if (!existsSync(recordedRelease(version(), 'index_bg.wasm.gz'))) {
    throw new Sentence('The modules of this version are not recorded: `npm run release` does it, before the tag.');
  }
  await makeRelease(target, tag, { isTagged: tag !== undefined });
  console.log(`\nIn ${target}:\n${readFileSync(join(target, sumsFile), 'utf8')}`);
}

function pin(tag, repository, folder) {
  const name = modulesOf(tag);
  const sums = join(folder, sumsFile);
  const line = existsSync(sums) && readFileSync(sums, 'utf8').split('\n').find((one) => one.endsWith(`  ${name}`));
  if (!line) throw new Sentence(`${sums} does not name ${name}.`);
  const url = `https://github.com/${repository}/releases/download/${tag}/${name}`;
  writeFileSync(at('prebuilt.json'), `${JSON.stringify({ tag, url, sha256: line.split(' ')[0] }, null, 2)}\n`);
  const readme = readFileSync(at('README.md'), 'utf8');
  const placed = readme.replace(buttonPlace, () => button(repository));
  writeFileSync(at('README.md'), placed.replace(buttonLink, `$1${repository}`));
}

/** The steps, and how many words each takes at least and at most. */
const steps = { make: [make, 0, 2], record: [recordModules, 0, 0], pin: [pin, 3, 3] };

if (process.argv[1] === at('scripts', 'release.mjs')) {
  endAllOnSignals();
  await finishWith(async () => {
    const [what, ...given] = process.argv.slice(2);
    const [step, least, most] = steps[what] ?? [];
    if (!step || given.length < least || given.length > most) {
      throw new Sentence('usage: release.mjs make [FOLDER [TAG]] | release.mjs record | release.mjs pin TAG OWNER/NAME FOLDER');
    }
    await step(...given);
  });
}
