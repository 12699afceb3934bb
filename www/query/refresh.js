// Runs the query repeatedly, one request at a time, while the page is visible.

import { el } from '../dom.js';
import { change, current, onChange, resultViews } from '../state.js';

const choices = [
  [0, 'No refresh'],
  [1, 'Every 1 s'],
  [5, 'Every 5 s'],
  [10, 'Every 10 s'],
];

/**
 * Returns the refresh picker. It calls `again()`, which resolves when the new result is visible.
 */
export function refreshPicker(again) {
  let timer = null;
  const plan = () => {
    clearTimeout(timer);
    const { refresh, view } = current();
    if (refresh > 0 && !document.hidden && resultViews.includes(view)) {
      timer = setTimeout(tick, refresh * 1000);
    }
  };
  const tick = async () => {
    await again();
    plan();
  };
  document.addEventListener('visibilitychange', plan);
  onChange(plan);
  const picked = ({ target }) => change({ refresh: Number(target.value) });
  return el(
    'select',
    { 'aria-label': 'Refresh', class: 'quiet', on: { change: picked } },
    choices.map(([value, label]) => el('option', { value }, label)),
  );
}
