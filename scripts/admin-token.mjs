// Creates and checks the admin token of `npm start`. The first start creates a random token and
// stores it in `.dev.vars`.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';

import * as adminToken from '../packages/tidemark/lib/admin_token.mjs';

export const checked = (name, secret) =>
  adminToken.checked(name, secret, ' If neither the environment nor .dev.vars sets ADMIN_TOKEN, npm start generates a random token.');

/** `file` has the format of `.dev.vars`. If the file contains no token, creates one. */
export function keptToken(file) {
  const line = /^[ \t]*ADMIN_TOKEN[ \t]*=[ \t]*["']?([^"'\r\n]*?)["']?[ \t]*$/m;
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '# Secrets of `npm start`.\n';
  const known = text.match(line)?.[1] ?? '';
  if (known !== '') return checked('ADMIN_TOKEN', known);
  const made = adminToken.newToken();
  const rest = text.replace(line, '').trimEnd();
  writeFileSync(file, `${rest}\nADMIN_TOKEN=${made}\n`, { mode: 0o600 });
  console.log('- .dev.vars: contains the new admin token');
  return made;
}
