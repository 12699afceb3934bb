// What the Worker's own parser says of lines, in this page.

import { checker } from '../api/transport.js';
import { unitName } from '../api/write.js';

/** Texts longer than this are not checked as one types. */
export const checkedLettersMax = 2_000_000;

/**
 * `{ good, errors: [{ line, column, reason }], mistaken }`, both counted from 1; `mistaken` is null
 * or `{ unit, lines }`. Throws where the engine is no part of the build.
 */
export const check = async (text, precision) => (await checker()).validate(text, precision);

/** That times look like those of another unit than `precision`, in words. */
export const mistakeText = ({ unit, lines }, precision) =>
  `These look like ${unitName(unit)} (precision=${unit}): read as ${unitName(precision)}, ` +
  `${lines === 1 ? 'this line is' : `${lines.toLocaleString('en')} lines are`} stored in 1970.`;
