// Manages the folder of a server, which contains its data, its token and its lock.

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';

import { checked, newToken } from './admin_token.mjs';
import { UserError } from './command.mjs';
import { tokenFile } from './connection.mjs';

/** Creates the folder `path`. Only its owner has access to it. */
export function makeFolder(path) {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new UserError(`${path} cannot be created: ${error.message}`);
  }
}

/**
 * Returns the admin token from the environment or from the folder. If neither contains a token,
 * creates one.
 */
export function adminToken(folder) {
  const given = process.env.ADMIN_TOKEN;
  if (given) return checked('ADMIN_TOKEN', given);
  const file = tokenFile(folder);
  if (existsSync(file)) return readFileSync(file, 'utf8').trim();
  const made = newToken();
  writeFileSync(file, `${made}\n`, { mode: 0o600 });
  return made;
}

/** Returns whether a process listens on the socket `path`. */
function isListening(path) {
  return new Promise((resolve) => {
    const asked = createConnection(path);
    asked.once('connect', () => (asked.destroy(), resolve(true)));
    asked.once('error', () => resolve(false));
  });
}

/**
 * Locks `folder`, so that no second server writes to the same files.
 * The lock is a listening socket. It disappears when the last process that has the socket ends.
 * workerd inherits the socket, so the lock remains if only workerd is still running. Changes the
 * working directory to the folder, because the path of a socket must be short.
 *
 * @returns {Promise<import('node:net').Server>}
 */
export async function occupy(folder) {
  process.chdir(folder);
  const path = 'in-use';
  if (await isListening(path)) {
    throw new UserError(
      `${folder} is in use by another server: stop that server and its workerd process, or choose another ` +
        'folder with --data.',
    );
  }
  rmSync(path, { force: true });
  const mark = createServer((asked) => asked.destroy());
  return new Promise((resolve, reject) => {
    mark.once('error', (error) => reject(new UserError(`${folder} cannot be written to: ${error.message}`)));
    // The socket must not keep the process running.
    mark.listen(path, () => resolve(mark.unref()));
  });
}
