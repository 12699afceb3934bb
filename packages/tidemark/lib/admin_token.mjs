// Creates and checks admin tokens.

import { randomBytes } from 'node:crypto';

import { UserError } from './command.mjs';

/** The Worker serves no requests if the token is shorter (ADMIN_TOKEN_CHARACTERS_MIN). */
const charactersMin = 16;

export const newToken = () => randomBytes(16).toString('hex');

/** Throws a [UserError] whose message ends with `more` if the secret is easy to guess. */
export function checked(name, secret, more = '') {
  const { length } = [...secret.trim()];
  if (length >= charactersMin) return secret;
  throw new UserError(`${name} has ${length} characters, which can be guessed: use at least ${charactersMin} characters.${more}`);
}
