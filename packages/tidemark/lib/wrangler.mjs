// What is known of wrangler, by which a deployment is made. The programs of a clone use it too.

/** Wrangler refuses an older Node. */
export const nodeNeeded = '22.12';

/** Whether wrangler accepts this Node. */
export function isNewNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const [majorNeeded, minorNeeded] = nodeNeeded.split('.').map(Number);
  return major > majorNeeded || (major === majorNeeded && minor >= minorNeeded);
}

/** The platform's number for a limit that an account's plan does not have. */
const refusal = /code: 100328\b/;

/** Whether `wrangler deploy` failed for the limits alone: an account of the free plan may set none. */
export const refusesLimits = (output) => refusal.test(output);
