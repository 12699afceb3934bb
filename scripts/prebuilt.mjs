// Handles the modules of a release, for machines without Rust. The release workflow packs the
// modules with `pack`. `prebuilt` downloads them and checks their checksum. `prebuilt.json`
// contains the URL and the checksum.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

import { proxyStep } from '../packages/tidemark/lib/proxy.mjs';
import { must } from './processes.mjs';
import { at, UserError } from './project.mjs';

/** The results of all builds that need Rust. */
const files = [
  'build/index.js',
  'build/index_bg.wasm',
  '.cache/engine/tidemark.js',
  '.cache/engine/tidemark_bg.wasm',
];

/** The timeout of a download, which normally takes seconds. */
const fetchMs = 120_000;
/** The maximum size of an archive: twice the size of a release's archive. */
const archiveBytesMax = 10_000_000;

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** The options with which tar creates identical archives from identical files. */
export const packFlags = ['--sort=name', '--owner=0', '--group=0', '--numeric-owner', '--mtime=@0'];

/** Returns the archive's checksum. */
export async function pack(archive) {
  await must('Packing the modules', 'tar', ['-C', at(), ...packFlags, '-czf', archive, ...files]);
  return sha256(readFileSync(archive));
}

/** Returns `{ tag, url, sha256 }`, or null if no release exists. */
export function pinned() {
  const file = at('prebuilt.json');
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : null;
}

async function fetched(url) {
  let response;
  try {
    response = await fetch(url, { signal: AbortSignal.timeout(fetchMs) });
  } catch (error) {
    throw new UserError(`${url} could not be fetched: ${error.cause?.message ?? error.message}.${proxyStep()}`);
  }
  if (!response.ok) throw new UserError(`${url} could not be fetched: the server returned ${response.status}.`);
  const bytes = Buffer.from(await response.arrayBuffer());
  if (bytes.length > archiveBytesMax) throw new UserError(`${url} is too large: it has ${bytes.length} bytes, and the limit is ${archiveBytesMax}.`);
  return bytes;
}

/** Returns the release of `prebuilt.json`. Throws a [UserError] if no release exists. */
export function mustBePinned() {
  const release = pinned();
  if (release) return release;
  throw new UserError(
    'Rust is not installed, and prebuilt.json does not name a release with modules: ' +
      'install rustup (https://rustup.rs) and start again.',
  );
}

/**
 * Downloads and unpacks the modules of a release. Fails unless the checksum equals the checksum in
 * `prebuilt.json`.
 */
export async function prebuilt() {
  const release = mustBePinned();
  const archive = at('.cache', 'prebuilt.tar.gz');
  const isUnpacked = existsSync(archive) && sha256(readFileSync(archive)) === release.sha256;
  if (isUnpacked && files.every((name) => existsSync(at(name)))) {
    console.log(`- The modules of ${release.tag}: up to date`);
    return;
  }
  console.log(`- The modules of ${release.tag} …`);
  const bytes = await fetched(release.url);
  const found = sha256(bytes);
  if (found !== release.sha256) {
    throw new UserError(
      `${release.url} differs from the file in prebuilt.json: the SHA-256 is ${found} instead of ` +
        `${release.sha256}. The download is not used.`,
    );
  }
  mkdirSync(dirname(archive), { recursive: true });
  writeFileSync(archive, bytes);
  await must('Unpacking the modules', 'tar', ['-C', at(), '-xzf', archive, ...files]);
  console.log(`- The modules of ${release.tag}: done`);
}
