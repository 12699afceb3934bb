// Tests the contents of a release: one version, files with checksums, and an image and a service
// that start.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';

import { sqlAsset } from '../../scripts/console.mjs';
import { at } from '../../scripts/project.mjs';
import { makeRelease, needsFixtures, needsOneVersion, needsSql, notesOf, recordedRelease, versionsSaid } from '../../scripts/release.mjs';
import { hasReleasedSql, hasSql, sqlFolder } from '../../scripts/setup.mjs';
import { has, tidemark } from './harness.mjs';
import { imageOf } from './image.mjs';

const json = (path) => JSON.parse(readFileSync(path, 'utf8'));
const { version } = json(at('package.json'));

function folder(t) {
  const made = mkdtempSync(join(tmpdir(), 'tidemark-release-'));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

test('all parts have the same version, and a server reports it', async (t) => {
  const server = await tidemark(t);
  const [build] = (await server.series('SHOW DIAGNOSTICS')).filter(({ name }) => name === 'build');
  const said = {
    ...versionsSaid(),
    'SHOW DIAGNOSTICS': build.values[0][build.columns.findIndex((name) => /version/i.test(name))],
  };
  for (const [where, found] of Object.entries(said)) assert.equal(found, version, where);
  const [newest] = /^## .*$/m.exec(readFileSync(at('CHANGELOG.md'), 'utf8'));
  assert.match(newest, new RegExp(`^## (Unreleased$|${version.replaceAll('.', '\\.')} - \\d{4}-\\d\\d-\\d\\d$)`));
});

test('a release stops if two files have different versions, or if its formats are not recorded', () => {
  needsOneVersion();
  const other = { ...versionsSaid(), 'sql/Cargo.toml': '9.9.9' };
  assert.throws(() => needsOneVersion(other), /All files of a release must have the same version: .* and sql\/Cargo\.toml has 9\.9\.9\./);
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
  const target = join(folder(t), 'release');
  await makeRelease(target);
  const names = [
    'SHA256SUMS', 'notes.md', `tidemark-${version}.tgz`, `tidemark-image-${version}.tar.gz`, `tidemark-v${version}.tar.gz`, 'tidemark.service',
  ];
  assert.deepEqual(readdirSync(target).sort(), names.sort());
  const check = () => spawnSync('sha256sum', ['--check', '--strict', 'SHA256SUMS'], { cwd: target, encoding: 'utf8' });
  assert.deepEqual([check().status, check().stdout.match(/: OK$/gm).length], [0, names.length - 1]);
  const before = readFileSync(join(target, 'SHA256SUMS'), 'utf8');
  await makeRelease(target);
  assert.equal(readFileSync(join(target, 'SHA256SUMS'), 'utf8'), before, 'the same twice');
  writeFileSync(join(target, 'notes.md'), 'others');
  assert.equal(check().status, 1);
  await assert.rejects(makeRelease(target, 'v9.9.9'), /The tag is v9\.9\.9, but the version in package\.json/);
});

test('a release contains the released SQL, and explains how to get it', async () => {
  await assert.rejects(needsSql(Promise.resolve(false)), /run `npm run sql -- release`/);
  await needsSql(Promise.resolve(true));
  // Runs the release command on the local build.
  const made = spawnSync(process.execPath, [at('scripts', 'sql.mjs'), 'small'], { encoding: 'utf8' });
  assert.deepEqual([made.status, /usage: npm run sql/.test(made.stdout + made.stderr)], [1, true]);
  if (await hasReleasedSql()) return;
  const { status, stdout, stderr } = spawnSync(process.execPath, [at('scripts', 'release.mjs'), 'make'], { encoding: 'utf8' });
  assert.deepEqual([status, /npm run sql -- release/.test(stdout + stderr)], [1, true], stdout + stderr);
});

test('the packages of a release contain the identical SQL Worker', async (t) => {
  if (!hasSql()) return t.skip('SQL is not built: npm run sql');
  const target = join(folder(t), 'release');
  await makeRelease(target);
  const unpacked = (archive, name) => {
    const place = join(target, `of-${name}`);
    mkdirSync(place);
    execFileSync('tar', ['-xzf', join(target, archive), '-C', place]);
    return place;
  };
  const context = unpacked(`tidemark-image-${version}.tar.gz`, 'image');
  const inImage = `of-image/tidemark-image-${version}/tidemark.tgz`;
  assert.ok(existsSync(join(context, `tidemark-image-${version}`, 'tidemark.tgz')));
  for (const [archive, name] of [[`tidemark-${version}.tgz`, 'package'], [inImage, 'packed']]) {
    const built = join(unpacked(archive, name), 'package', 'built', 'sql');
    for (const file of readdirSync(sqlFolder)) {
      assert.ok(readFileSync(join(built, file)).equals(readFileSync(join(sqlFolder, file))), `${archive}: ${file}`);
    }
    // The console loads the same module into its page.
    const packed = readFileSync(join(built, '..', 'site', 'chunks', sqlAsset().name));
    assert.ok(gunzipSync(packed).equals(readFileSync(join(sqlFolder, 'index_bg.wasm'))), archive);
  }
});

test('the base image is pinned, runs without privileges, and copies only existing files', async (t) => {
  const target = join(folder(t), 'release');
  await makeRelease(target);
  execFileSync('tar', ['-xzf', `tidemark-image-${version}.tar.gz`], { cwd: target });
  const context = join(target, `tidemark-image-${version}`);
  const image = imageOf(readFileSync(join(context, 'Dockerfile'), 'utf8'));
  assert.ok(image.images.length >= 2, 'stages');
  for (const name of image.images) assert.match(name, /^node:\d+\.\d+\.\d+-[\w-]+@sha256:[0-9a-f]{64}$/);
  assert.equal(new Set(image.images).size, 1, 'one base');
  assert.deepEqual([image.user, image.volumes, image.env.TIDEMARK_DATA], ['node', ['/data'], '/data']);
  assert.deepEqual(image.ports, [image.env.PORT]);
  assert.ok(image.health.length > 0 && image.cmd.length > 0);
  for (const { steps } of image.stages) {
    for (const [word, rest] of steps) {
      if (word !== 'COPY' || rest.startsWith('--from')) continue;
      for (const name of rest.split(/\s+/).slice(0, -1)) assert.ok(existsSync(join(context, name)), name);
    }
  }
  // The release installs the packages of the tests, with the same checksums.
  const [ours, theirs] = [json(at('package-lock.json')).packages, json(join(context, 'package-lock.json')).packages];
  for (const [path, entry] of Object.entries(theirs)) {
    if (path === '' || path === 'node_modules/tidemark') continue;
    assert.equal(entry.integrity, ours[path].integrity, path);
  }
  assert.ok(theirs['node_modules/@cloudflare/workerd-linux-64'].integrity && theirs['node_modules/@cloudflare/workerd-linux-arm64'].integrity);
  assert.equal(theirs['node_modules/workerd'].version, json(at('packages', 'tidemark', 'package.json')).dependencies.workerd);
});

test('systemd accepts the service file, which is sandboxed', (t) => {
  if (!has(t, 'systemd-analyze')) return;
  const unit = readFileSync(at('packages', 'systemd', 'tidemark.service'), 'utf8');
  const file = join(folder(t), 'tidemark.service');
  // The program that the service starts exists after the installation.
  writeFileSync(file, unit.replace('/usr/local/bin/tidemark', process.execPath));
  const verified = spawnSync('systemd-analyze', ['verify', '--man=no', file], { encoding: 'utf8' });
  assert.deepEqual([verified.status, verified.stdout + verified.stderr], [0, '']);
  // The exposure in tenths: 0 is fully restricted, 100 is unrestricted.
  const secured = spawnSync('systemd-analyze', ['security', '--offline=true', '--threshold=20', file], { encoding: 'utf8' });
  assert.equal(secured.status, 0, secured.stdout);
});
