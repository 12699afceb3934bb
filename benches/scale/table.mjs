// The table of the part `scale`: what a row says, and whether it reached its aim.

export const head = ['what', 'aim', 'small size', 'large size', 'ratio', 'InfluxDB', 'reached?'];

/** Three digits that count, and no more than two behind the point. */
export function shown(value) {
  if (value === undefined || value === null || Number.isNaN(value)) return '';
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toFixed(digits);
}

/**
 * An aim: what it says, and whether figures hold it, or undefined where they say nothing of it.
 *
 * @typedef {{ small?: number, large?: number, peer?: number }} Figures
 * @typedef {{ text: string, holds: (figures: Figures) => boolean | undefined }} Aim
 */

const isThere = (...values) => values.every((value) => Number.isFinite(value));

/** Large ÷ small. @returns {Aim} */
export const ratioAtMost = (most, text = `≤ ${most} ×`) => ({
  text,
  holds: ({ small, large }) => (isThere(small, large) ? large <= small * most : undefined),
});

/** The large size by itself. @returns {Aim} */
export const atMost = (most, unit = 'ms') => ({
  text: `≤ ${most} ${unit}`,
  holds: ({ large }) => (isThere(large) ? large <= most : undefined),
});

/** The large size beside InfluxDB's figure. @returns {Aim} */
export const ofPeerAtMost = (most, text) => ({
  text,
  holds: ({ large, peer }) => (isThere(large, peer) ? large <= peer * most : undefined),
});

/** All of them. @param {Aim[]} aims @returns {Aim} */
export const all = (...aims) => ({
  text: aims.map(({ text }) => text).join(', '),
  holds: (figures) => {
    const held = aims.map((aim) => aim.holds(figures)).filter((one) => one !== undefined);
    return held.length > 0 ? held.every(Boolean) : undefined;
  },
});

/** Printed, never judged. @returns {Aim} */
export const noAim = { text: '', holds: () => undefined };

/** Cells of a row; a `failure` is said in the last one, whatever the figures are. */
export function row({ what, aim = noAim, small, large, peer, ratio = undefined, failure = '' }) {
  const held = aim.holds({ small, large, peer });
  const verdict = held === undefined ? '' : held ? 'yes' : 'no';
  const found = ratio ?? (isThere(small, large) && small > 0 ? large / small : undefined);
  // A bar or a line break would be another cell or row.
  const said = failure && `failed: ${failure.replace(/[|\s]+/g, ' ').slice(0, 120)}`;
  return [what, aim.text, shown(small), shown(large), shown(found), shown(peer), said || verdict];
}

/** Lines of a Markdown table. */
export function markdown(rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, i) => (i ? '--:' : '---'))), ...rows.map(line)];
}
