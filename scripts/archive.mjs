// npm run archive -- TARGET [EDITION]: builds the native program for a target as one static file,
// and packs the file with the systemd unit and the Dockerfile. Needs the target's standard library
// (`rustup target add TARGET`) and musl-gcc (Debian package musl-tools).

import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { nativeProgram } from './native.mjs';
import { packFlags } from './prebuilt.mjs';
import { endAllOnSignals, must } from './processes.mjs';
import { at, finishWith, lockedCrate, UserError } from './project.mjs';
import { prepareAll } from './setup.mjs';

/** The targets. Each is built on a machine of its architecture (.github/workflows/release.yml). */
export const targets = ['x86_64-unknown-linux-musl', 'aarch64-unknown-linux-musl'];

/** The folder of the archives, in which `npm run release` looks for them. */
export const archivesFolder = at('.cache', 'archives');

/**
 * The arguments of cargo for each edition. The edition `tidemark-slim` omits SQL, because
 * DataFusion makes up most of the program.
 */
const editions = { tidemark: [], 'tidemark-slim': ['--no-default-features'] };

const version = () => lockedCrate('tidemark-native');

const archiveOf = (target, edition) => `${edition}-${version()}-${target}.tar.gz`;

export const archives = () => targets.flatMap((target) => Object.keys(editions).map((edition) => archiveOf(target, edition)));

export async function packArchive(program, target, edition, folder) {
  const name = `${edition}-${version()}`;
  const inside = join(folder, name);
  // The image copies this empty folder. A new container volume then has the same owner.
  mkdirSync(inside, { recursive: true });
  mkdirSync(join(inside, 'data'), { mode: 0o700 });
  copyFileSync(program, join(inside, 'tidemark'));
  const plain = ['packages/systemd/tidemark.service', 'packages/image/Dockerfile', 'LICENSE-MIT', 'LICENSE-APACHE'];
  for (const path of plain) copyFileSync(at(path), join(inside, path.split('/').at(-1)));
  const archive = join(folder, archiveOf(target, edition));
  await must('Packing', 'tar', ['-C', folder, ...packFlags, '-I', 'gzip -9', '-cf', archive, name]);
  rmSync(inside, { recursive: true });
  return archive;
}

async function make(target, edition = 'tidemark') {
  if (!targets.includes(target) || !Object.hasOwn(editions, edition)) {
    throw new UserError(`usage: npm run archive -- ${targets.join('|')} [${Object.keys(editions).join('|')}]`);
  }
  // Builds the console, because the program embeds it.
  await prepareAll();
  const env = { [`CC_${target.replaceAll('-', '_')}`]: 'musl-gcc' };
  const args = ['build', '--locked', '-p', 'tidemark-native', '--profile', 'native', '--target', target];
  await must('Building the native program', 'cargo', [...args, ...editions[edition]], { env });
  console.log(`- ${await packArchive(nativeProgram(join(target, 'native')), target, edition, archivesFolder)}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  endAllOnSignals();
  await finishWith(() => make(...process.argv.slice(2)));
}
