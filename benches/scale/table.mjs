// Formats the table of the benchmark `scale`, and compares its rows with their targets.

export const head = ['case', 'aim', 'small size', 'large size', 'ratio', 'InfluxDB', 'reached?'];

/** Formats a number with three significant digits and at most two decimals. */
function shown(value) {
  if (value === undefined || value === null || Number.isNaN(value)) return '';
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toFixed(digits);
}

/**
 * `text` describes the target. `holds` returns whether the measurements reach the target, or
 * undefined if a measurement is missing.
 * @typedef {{ small?: number, large?: number, peer?: number }} Figures
 * @typedef {{ text: string, holds: (figures: Figures) => boolean | undefined }} Aim
 */

const isThere = (...values) => values.every((value) => Number.isFinite(value));

/**
 * Returns the target that the ratio of the large size to the small size must not exceed.
 * @returns {Aim}
 */
export const ratioAtMost = (most, text = `≤ ${most} ×`) => ({
  text,
  holds: ({ small, large }) => (isThere(small, large) ? large <= small * most : undefined),
});

/** @returns {Aim} */
export const atMost = (most, unit = 'ms') => ({
  text: `≤ ${most} ${unit}`,
  holds: ({ large }) => (isThere(large) ? large <= most : undefined),
});

/**
 * Returns the target that the ratio of the large size to InfluxDB must not exceed.
 * @returns {Aim}
 */
export const ofPeerAtMost = (most, text) => ({
  text,
  holds: ({ large, peer }) => (isThere(large, peer) ? large <= peer * most : undefined),
});

/**
 * @param {Aim[]} aims
 * @returns {Aim}
 */
export const all = (...aims) => ({
  text: aims.map(({ text }) => text).join(', '),
  holds: (figures) => {
    const held = aims.map((aim) => aim.holds(figures)).filter((one) => one !== undefined);
    return held.length > 0 ? held.every(Boolean) : undefined;
  },
});

/**
 * Without a target, the measurements are only printed.
 * @returns {Aim}
 */
const noAim = { text: '', holds: () => undefined };

/**
 * Returns a row of the table. After a failure, the last cell contains the `failure` in place of the
 * target's result.
 */
export function row({ what, aim = noAim, small, large, peer, ratio = undefined, failure = '' }) {
  const held = aim.holds({ small, large, peer });
  const verdict = held === undefined ? '' : held ? 'yes' : 'no';
  const found = ratio ?? (isThere(small, large) && small > 0 ? large / small : undefined);
  // A pipe or a line break would begin another cell or row.
  const said = failure && `failed: ${failure.replace(/[|\s]+/g, ' ').slice(0, 120)}`;
  return [what, aim.text, shown(small), shown(large), shown(found), shown(peer), said || verdict];
}
