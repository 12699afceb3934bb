// Two steps of .github/workflows/release.yml.
//
//   pack TAG FOLDER              builds, and writes tidemark-TAG.tar.gz with its checksum beside it
//   pin TAG OWNER/NAME FOLDER    writes prebuilt.json and the README's deploy button for that archive

import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';

import { endAllOnSignals } from './processes.mjs';
import { at, finishWith, Sentence } from './project.mjs';
import { pack } from './prebuilt.mjs';
import { everything } from './setup.mjs';

const archiveOf = (tag, folder) => join(folder, `tidemark-${tag}.tar.gz`);

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

async function packRelease(tag, folder) {
  await everything();
  const archive = archiveOf(tag, folder);
  const checksum = await pack(archive);
  writeFileSync(`${archive}.sha256`, `${checksum}  ${basename(archive)}\n`);
  console.log(`- ${archive}: ${checksum}`);
}

function pinRelease(tag, repository, folder) {
  const archive = archiveOf(tag, folder);
  const [sha256] = readFileSync(`${archive}.sha256`, 'utf8').split(' ');
  const url = `https://github.com/${repository}/releases/download/${tag}/${basename(archive)}`;
  writeFileSync(at('prebuilt.json'), `${JSON.stringify({ tag, url, sha256 }, null, 2)}\n`);
  const readme = readFileSync(at('README.md'), 'utf8');
  const placed = readme.replace(buttonPlace, () => button(repository));
  writeFileSync(at('README.md'), placed.replace(buttonLink, `$1${repository}`));
}

endAllOnSignals();
await finishWith(async () => {
  const [what, ...given] = process.argv.slice(2);
  const steps = { pack: packRelease, pin: pinRelease };
  if (!steps[what] || given.length !== steps[what].length) {
    throw new Sentence('usage: release.mjs pack TAG FOLDER | release.mjs pin TAG OWNER/NAME FOLDER');
  }
  await steps[what](...given);
});
