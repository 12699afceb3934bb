// The admin token: how a random one is made, and which ones are refused.

import { randomBytes } from 'node:crypto';

import { Sentence } from './command.mjs';

/** With a shorter one the Worker serves nothing (ADMIN_TOKEN_CHARACTERS_MIN). */
const charactersMin = 16;

export const newToken = () => randomBytes(16).toString('hex');

/** The secret as it is; throws a sentence when it can be guessed. `more` says what else helps. */
export function checked(name, secret, more = '') {
  const { length } = [...secret.trim()];
  if (length >= charactersMin) return secret;
  throw new Sentence(`${name} has ${length} characters, which can be guessed: it needs at least ${charactersMin}.${more}`);
}
