// Tests the contents of a release: one version, files with checksums, and the files that are packed
// with the native program. Only the release workflow compiles the program for a release and runs
// the image.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';

import { parse } from 'yaml';

import { archives, packArchive, targets } from '../../scripts/archive.mjs';
import { sqlAsset } from '../../scripts/console.mjs';
import { hasReleasedSql, hasSql, sqlFolder } from '../../scripts/modules.mjs';
import { sqlFiles } from '../../scripts/package.mjs';
import { at } from '../../scripts/project.mjs';
import { addArchives, makeRelease, needsFixtures, needsOneVersion, needsSql, notesOf, recordedRelease, declaredVersions } from '../../scripts/release.mjs';
import { has, PlainWorkerd, temporaryFolder, tidemark } from './harness.mjs';

const json = (path) => JSON.parse(readFileSync(path, 'utf8'));
const { version } = json(at('package.json'));

test('all parts have the same version, and a server reports it', async (t) => {
  const server = await tidemark(t, {}, PlainWorkerd);
  const [build] = (await server.series('SHOW DIAGNOSTICS')).filter(({ name }) => name === 'build');
  const said = {
    ...declaredVersions(),
    'SHOW DIAGNOSTICS': build.values[0][build.columns.findIndex((name) => /version/i.test(name))],
  };
  for (const [where, found] of Object.entries(said)) assert.equal(found, version, where);
  const [newest] = /^## .*$/m.exec(readFileSync(at('CHANGELOG.md'), 'utf8'));
  assert.match(newest, new RegExp(`^## (Unreleased$|${version.replaceAll('.', '\\.')} - \\d{4}-\\d\\d-\\d\\d$)`));
});

test('a release stops if two files have different versions, or if its formats are not recorded', () => {
  needsOneVersion();
  const other = { ...declaredVersions(), 'Cargo.lock': '9.9.9' };
  assert.throws(() => needsOneVersion(other), /All files of a release must have the same version: .* and Cargo\.lock has 9\.9\.9\./);
  needsFixtures('0.1.0');
  assert.throws(() => needsFixtures('9.9.9'), /The formats of 9\.9\.9 are not recorded/);
  assert.ok(existsSync(recordedRelease('0.1.0', 'index_bg.wasm.gz')));
});

test('the release notes are the section of the version, and a tag needs a section', () => {
  const changelog = '# Changelog\n\n## Unreleased\n\n- new\n\n## 0.10.0 - 2026-12-02\n\n- ten\n\n## 0.1.0 - 2026-12-01\n\n- first\n';
  assert.equal(notesOf(changelog, '0.1.0', true), '- first\n');
  assert.equal(notesOf(changelog, '0.10.0', true), '- ten\n');
  assert.equal(notesOf(changelog, '0.2.0', false), '- new\n');
  assert.throws(() => notesOf(changelog, '0.2.0', true), /no section "## 0\.2\.0"/);
});

test('a release has all its files, and their checksums', async (t) => {
  const [target, from] = [join(temporaryFolder(t), 'release'), temporaryFolder(t)];
  assert.throws(() => addArchives(from, target, true), /does not contain tidemark-.*, tidemark-slim-.*: run `npm run archive`/);
  for (const name of archives()) writeFileSync(join(from, name), name);
  await makeRelease(target, undefined, { from });
  const names = ['SHA256SUMS', 'notes.md', `tidemark-${version}.tgz`, `tidemark-v${version}.tar.gz`, ...archives()];
  assert.deepEqual(readdirSync(target).sort(), names.sort());
  const check = () => spawnSync('sha256sum', ['--check', '--strict', 'SHA256SUMS'], { cwd: target, encoding: 'utf8' });
  assert.deepEqual([check().status, check().stdout.match(/: OK$/gm).length], [0, names.length - 1]);
  const before = readFileSync(join(target, 'SHA256SUMS'), 'utf8');
  await makeRelease(target, undefined, { from });
  assert.equal(readFileSync(join(target, 'SHA256SUMS'), 'utf8'), before, 'the same twice');
  await t.test('the package contains the identical SQL Worker', (sub) => hasIdenticalSql(sub, target));
  writeFileSync(join(target, 'notes.md'), 'others');
  assert.equal(check().status, 1);
  await assert.rejects(makeRelease(target, 'v9.9.9'), /The tag is v9\.9\.9, but the version in package\.json/);
});

function hasIdenticalSql(t, target) {
  if (!hasSql()) return t.skip('SQL is not built: npm run sql');
  const folder = temporaryFolder(t);
  execFileSync('tar', ['-xzf', join(target, `tidemark-${version}.tgz`)], { cwd: folder });
  const built = join(folder, 'package', 'built');
  assert.deepEqual(readdirSync(join(built, 'sql')).sort(), sqlFiles);
  for (const file of sqlFiles) {
    assert.ok(readFileSync(join(built, 'sql', file)).equals(readFileSync(join(sqlFolder, file))), file);
  }
  const packed = readFileSync(join(built, 'site', 'chunks', sqlAsset().name));
  assert.ok(gunzipSync(packed).equals(readFileSync(join(sqlFolder, 'index_bg.wasm'))));
}

test('a release needs a release build of SQL, and the errors explain how to build it', () => {
  assert.throws(() => needsSql(false), /run `npm run sql -- release`/);
  needsSql(true);
  const made = spawnSync(process.execPath, [at('scripts', 'sql.mjs'), 'small'], { encoding: 'utf8' });
  assert.deepEqual([made.status, /usage: npm run sql/.test(made.stdout + made.stderr)], [1, true]);
  if (hasReleasedSql()) return;
  const { status, stdout, stderr } = spawnSync(process.execPath, [at('scripts', 'release.mjs'), 'make'], { encoding: 'utf8' });
  assert.deepEqual([status, /npm run sql -- release/.test(stdout + stderr)], [1, true], stdout + stderr);
});

test('an archive contains the files for the image and for the service', async (t) => {
  const place = temporaryFolder(t);
  const program = join(place, 'program');
  writeFileSync(program, '#!/bin/sh\n');
  chmodSync(program, 0o755);
  const archive = await packArchive(program, targets[0], 'tidemark', join(place, 'archives'));
  assert.deepEqual(readdirSync(join(place, 'archives')), [archives()[0]]);
  execFileSync('tar', ['-xzf', archive], { cwd: place });
  const inside = join(place, `tidemark-${version}`);
  assert.deepEqual(readdirSync(inside).sort(), ['Dockerfile', 'LICENSE-APACHE', 'LICENSE-MIT', 'data', 'tidemark', 'tidemark.service']);
  assert.deepEqual(['.', 'tidemark', 'data'].map((name) => statSync(join(inside, name)).mode & 0o777), [0o755, 0o755, 0o700]);
  const image = readFileSync(join(inside, 'Dockerfile'), 'utf8');
  const values = (word) => [...image.matchAll(new RegExp(`^${word} (.*)$`, 'gm'))].map(([, rest]) => rest);
  const [user] = values('USER');
  assert.match(user, /^[1-9]\d*:[1-9]\d*$/, 'not root');
  for (const copied of values('COPY')) assert.ok(existsSync(join(inside, copied.split(' ').at(-2))), copied);
});

test('the workflow builds every target of a release on a machine with that processor, and the page lists every target', () => {
  const { jobs } = parse(readFileSync(at('.github', 'workflows', 'release.yml'), 'utf8'));
  const { include } = jobs.native.strategy.matrix;
  assert.deepEqual(include.map(({ target }) => target), targets);
  assert.deepEqual(include.map(({ machine }) => machine.endsWith('-arm')), targets.map((target) => target.startsWith('aarch64')));
  const page = readFileSync(at('docs', 'HOSTING.md'), 'utf8');
  for (const target of targets) assert.ok(page.includes(target), target);
});

test('systemd accepts the service file, and the service is sandboxed', (t) => {
  if (!has(t, 'systemd-analyze')) return;
  const unit = readFileSync(at('packages', 'systemd', 'tidemark.service'), 'utf8');
  const file = join(temporaryFolder(t), 'tidemark.service');
  // The service starts a program that exists only after the installation.
  writeFileSync(file, unit.replace('/usr/local/bin/tidemark', process.execPath));
  const verified = spawnSync('systemd-analyze', ['verify', '--man=no', file], { encoding: 'utf8' });
  assert.deepEqual([verified.status, verified.stdout + verified.stderr], [0, '']);
  // The exposure in tenths, from 0 for fully restricted to 100 for unrestricted.
  const secured = spawnSync('systemd-analyze', ['security', '--offline=true', '--threshold=13', file], { encoding: 'utf8' });
  assert.equal(secured.status, 0, secured.stdout);
});
