// A result of a single time: no chart, but a figure for each line.

import { el } from '../dom.js';

/** Shows the only value of each line of `chart` in `host`. */
export function showFigures(host, { labels, times_ms, columns }) {
  const [time] = times_ms;
  // An aggregate over all times stands at the beginning of time, which says nothing.
  const when = time === 0 ? null : el('p', { class: 'faint' }, new Date(time).toISOString());
  host.replaceChildren(
    el(
      'div',
      { class: 'alone' },
      when,
      el(
        'dl',
        { class: 'figures' },
        labels.map((label, index) =>
          el('div', {}, el('dt', {}, label), el('dd', {}, String(columns[index][0] ?? '–'))),
        ),
      ),
    ),
  );
}
