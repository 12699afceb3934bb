// The admin token of `npm start`: random, made at its first start and kept in `.dev.vars`.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';

import * as adminToken from '../packages/tidemark/lib/admin_token.mjs';

/** What earlier versions put into `.dev.vars`: any web page could send it. */
const formerToken = 'dev-token';

/** The secret as it is; throws a sentence when it can be guessed. */
export const checked = (name, secret) =>
  adminToken.checked(name, secret, ' Without it (in the environment and in .dev.vars) npm start makes a random one.');

/** The token that `file` (of the form of `.dev.vars`) keeps, which is made when there is none. */
export function keptToken(file) {
  const line = /^[ \t]*ADMIN_TOKEN[ \t]*=[ \t]*["']?([^"'\r\n]*?)["']?[ \t]*$/m;
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '# Secrets of `npm start`.\n';
  const known = text.match(line)?.[1] ?? '';
  if (known !== '' && known !== formerToken) return checked('ADMIN_TOKEN', known);
  const made = adminToken.newToken();
  const rest = text.replace(line, '').trimEnd();
  writeFileSync(file, `${rest}\nADMIN_TOKEN=${made}\n`, { mode: 0o600 });
  console.log('- .dev.vars: keeps the admin token, which was just made');
  return made;
}
