// What the Worker's own parser says of lines, in this page.

import { checker } from '../api/transport.js';

/** Texts longer than this are not checked as one types. */
export const checkedLettersMax = 2_000_000;

/**
 * `{ good, errors: [{ line, column, reason }] }`, both counted from 1. Throws where the engine is
 * no part of the build.
 */
export const check = async (text, precision) => (await checker()).validate(text, precision);
