// Checks line protocol in this page, with the same parser as in the Worker.

import { checker } from '../api/transport.js';
import { unitName } from '../api/write.js';

/** The page checks texts up to this length while the user types. */
export const checkedLettersMax = 2_000_000;

/**
 * Returns the result of `validate` in `engine.js`. Throws if the page was built without the engine.
 */
export const check = async (text, precision) => (await checker()).validate(text, precision);

/** Returns the warning that timestamps look like a unit other than `precision`. */
export const mistakeText = ({ unit, lines }, precision) =>
  `The times look like ${unitName(unit)} (precision=${unit}). If they are read as ${unitName(precision)}, ` +
  `the ${lines === 1 ? 'time of this line is' : `times of ${lines.toLocaleString('en')} lines are`} in 1970.`;
