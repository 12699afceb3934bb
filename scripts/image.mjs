// Builds the context of the image (packages/image/Dockerfile): a folder with every file that its
// COPY instructions name.

import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { at } from './project.mjs';

const json = (path) => JSON.parse(readFileSync(path, 'utf8'));

/**
 * Returns a package's entry in the lock file, without the development flags, which apply only to
 * the repository.
 */
function locked(all, name) {
  const { dev: _, devOptional: __, ...entry } = all[`node_modules/${name}`];
  return entry;
}

/**
 * Returns a lock file for `archive`, the packed npm package, and all its dependencies. The
 * checksums come from the repository's lock file.
 */
function lockOf(archive, about) {
  const all = json(at('package-lock.json')).packages;
  const sha512 = createHash('sha512').update(readFileSync(archive)).digest('base64');
  const { name, version, license, dependencies, bin, engines } = about;
  const own = { version, resolved: 'file:tidemark.tgz', integrity: `sha512-${sha512}`, license, dependencies, bin, engines };
  const packages = { '': { dependencies: { [name]: 'file:tidemark.tgz' } }, [`node_modules/${name}`]: own };
  const wanted = Object.keys(dependencies);
  for (const one of wanted) {
    if (packages[`node_modules/${one}`] || !all[`node_modules/${one}`]) continue;
    packages[`node_modules/${one}`] = locked(all, one);
    wanted.push(...Object.keys({ ...all[`node_modules/${one}`].dependencies, ...all[`node_modules/${one}`].optionalDependencies }));
  }
  return { name: 'tidemark-image', lockfileVersion: 3, requires: true, packages };
}

/** Writes the image context for `archive`, the packed npm package, into `folder`. */
export function imageContext(archive, folder) {
  mkdirSync(folder, { recursive: true });
  const about = json(at('packages', 'tidemark', 'package.json'));
  const top = { name: 'tidemark-image', private: true, dependencies: { [about.name]: 'file:tidemark.tgz' } };
  copyFileSync(archive, join(folder, 'tidemark.tgz'));
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(top, null, 2)}\n`);
  writeFileSync(join(folder, 'package-lock.json'), `${JSON.stringify(lockOf(archive, about), null, 2)}\n`);
  for (const name of ['Dockerfile', 'health.mjs']) copyFileSync(at('packages', 'image', name), join(folder, name));
}
