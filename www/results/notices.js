// Notices above a chart about data that it does not show.

import { el } from '../dom.js';
import { linesMax } from './lines.js';

const number = (value) => value.toLocaleString('en');

/** Returns a paragraph for each kind of omitted data. */
export function chartNotices({ total, thinned, points, pointsDrawn }) {
  const made = [];
  if (total > linesMax) {
    const which = `The first ${linesMax} of ${number(total)} lines are drawn`;
    made.push(`${which}: narrow the query, or group by fewer tags.`);
  }
  if (thinned) {
    const which = `${number(pointsDrawn)} of ${number(points)} points are drawn`;
    made.push(`${which}, the smallest and the largest at each time. The table shows all points.`);
  }
  return made.map((text) => el('p', { class: 'notice' }, text));
}
