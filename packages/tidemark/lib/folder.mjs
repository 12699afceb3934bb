// The folder of a server: its data, its token, and the mark that it is in use.

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';

import { checked, newToken } from './admin_token.mjs';
import { Sentence } from './command.mjs';
import { tokenFile } from './connection.mjs';

/** Makes `path`, which only its owner may look into. */
export function makeFolder(path) {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new Sentence(`${path} cannot be made: ${error.message}`);
  }
}

/** The admin token: that of the environment, or the folder's, which is made when there is none. */
export function adminToken(folder) {
  const given = process.env.ADMIN_TOKEN;
  if (given) return checked('ADMIN_TOKEN', given);
  const file = tokenFile(folder);
  if (existsSync(file)) return readFileSync(file, 'utf8').trim();
  const made = newToken();
  writeFileSync(file, `${made}\n`, { mode: 0o600 });
  return made;
}

/** Whether a process listens at the socket `path`. */
function isListening(path) {
  return new Promise((resolve) => {
    const asked = createConnection(path);
    asked.once('connect', () => (asked.destroy(), resolve(true)));
    asked.once('error', () => resolve(false));
  });
}

/**
 * Marks `folder` as in use, so that no second server writes to the same files: by a socket that lives
 * as long as a process has it, however that ends. workerd inherits it, and so keeps the mark when it
 * alone is left. Goes into the folder, since the name of a socket must be short.
 *
 * @returns {Promise<import('node:net').Server>}
 */
export async function occupy(folder) {
  process.chdir(folder);
  const path = 'in-use';
  if (await isListening(path)) {
    throw new Sentence(
      `${folder} is in use by another server: end that one first, and its workerd should it be the last ` +
        'one left; or choose another folder with --data.',
    );
  }
  rmSync(path, { force: true });
  const mark = createServer((asked) => asked.destroy());
  return new Promise((resolve, reject) => {
    mark.once('error', (error) => reject(new Sentence(`${folder} cannot be written to: ${error.message}`)));
    // It is no reason to stay.
    mark.listen(path, () => resolve(mark.unref()));
  });
}
