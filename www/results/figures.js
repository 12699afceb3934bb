// Displays a result that has only one time as numbers, without a chart.

import { el, entry } from '../dom.js';

export function showFigures(host, { labels, times_ms, columns }) {
  const [time] = times_ms;
  // An aggregate over all times has the time 0, which is not displayed.
  const when = time === 0 ? null : el('p', { class: 'faint' }, new Date(time).toISOString());
  const figures = labels.map((label, index) => entry(label, String(columns[index][0] ?? '–')));
  host.replaceChildren(el('div', { class: 'alone' }, when, el('dl', { class: 'figures' }, figures)));
}
