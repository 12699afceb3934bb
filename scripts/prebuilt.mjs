// The modules of a release, for machines without Rust: packed by the release's workflow, fetched and
// checked here. `prebuilt.json` says where they are and what their checksum is.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

import { must } from './processes.mjs';
import { at, Sentence } from './project.mjs';
import { step } from './steps.mjs';

/** What is packed: everything that only Rust can make. */
const files = [
  'build/index.js',
  'build/index_bg.wasm',
  '.cache/engine/tidemark.js',
  '.cache/engine/tidemark_bg.wasm',
];

/** A release is fetched in seconds; whoever has no answer by then has no network. */
const fetchMs = 120_000;
/** Twice what a release weighs. */
const archiveBytesMax = 10_000_000;

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** Of tar: the same files are the same archive, whoever packs them and when. */
export const packFlags = ['--sort=name', '--owner=0', '--group=0', '--numeric-owner', '--mtime=@0'];

/** Packs what was built into `archive` and returns its checksum. */
export async function pack(archive) {
  await must('Packing the modules', 'tar', ['-C', at(), ...packFlags, '-czf', archive, ...files]);
  return sha256(readFileSync(archive));
}

/** `{ tag, url, sha256 }` of the release that is used; null where there has been none. */
export function pinned() {
  const file = at('prebuilt.json');
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : null;
}

async function fetched(url) {
  let response;
  try {
    response = await fetch(url, { signal: AbortSignal.timeout(fetchMs) });
  } catch (error) {
    throw new Sentence(`${url} could not be fetched: ${error.cause?.message ?? error.message}.`);
  }
  if (!response.ok) throw new Sentence(`${url} could not be fetched: ${response.status}.`);
  const bytes = Buffer.from(await response.arrayBuffer());
  if (bytes.length > archiveBytesMax) throw new Sentence(`${url} has ${bytes.length} bytes.`);
  return bytes;
}

/** Puts the modules of the release into their places, if its checksum is the one that is known. */
export async function prebuilt(release = pinned()) {
  if (!release) {
    throw new Sentence(
      'Rust is not installed, and prebuilt.json names no release to take the modules from: ' +
        'install rustup (https://rustup.rs) and start again.',
    );
  }
  const stamp = '.cache/stamps/prebuilt';
  const outputs = files.map((name) => at(name));
  await step(`The modules of ${release.tag}`, { stamp, inputs: release.sha256, outputs }, async () => {
    const bytes = await fetched(release.url);
    const found = sha256(bytes);
    if (found !== release.sha256) {
      throw new Sentence(
        `${release.url} is not what prebuilt.json names: its SHA-256 is ${found} instead of ` +
          `${release.sha256}. Nothing of it is used.`,
      );
    }
    const archive = at('.cache', 'prebuilt.tar.gz');
    mkdirSync(dirname(archive), { recursive: true });
    writeFileSync(archive, bytes);
    await must('Unpacking the modules', 'tar', ['-C', at(), '-xzf', archive, ...files]);
    rmSync(archive);
  });
}
