// Notices above a chart about data that the chart does not show.

import { el } from '../dom.js';
import { linesMax } from './lines.js';

const number = (value) => value.toLocaleString('en');

export function chartNotices({ total, thinned, points, pointsDrawn }) {
  const made = [];
  if (total > linesMax) {
    const which = `The chart shows the first ${linesMax} of ${number(total)} lines`;
    made.push(`${which}: narrow the query, or group by fewer tags.`);
  }
  if (thinned) {
    const which = `The chart shows ${number(pointsDrawn)} of ${number(points)} points`;
    made.push(`${which}: the smallest and the largest value of each time span. The table shows all points.`);
  }
  return made.map((text) => el('p', { class: 'notice' }, text));
}
