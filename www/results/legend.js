// The legend of a chart. Each line has a switch.

import { button, el } from '../dom.js';

/**
 * Calls `switched(index, isShown)` when the user switches a line. The legend updates `hidden`, the
 * set of hidden labels.
 */
export function legend(labels, hidden, switched) {
  const time = el('span', { class: 'legend-time' }, '');
  const swatches = labels.map((_, index) => el('i', { class: `swatch line-${index % 10}` }));
  const numbers = labels.map(() => el('span', { class: 'legend-value' }));
  const buttons = labels.map((label, index) =>
    button(
      [swatches[index], el('span', { class: 'key-name' }, label), numbers[index]],
      ({ shiftKey }) => (shiftKey ? alone(index) : set(index, hidden.has(label))),
      {
        class: 'key',
        'aria-pressed': String(!hidden.has(label)),
        title: 'Click: show or hide the line. Shift-click: show only this line.',
      },
    ),
  );
  const set = (index, isShown) => {
    const label = labels[index];
    if (isShown) hidden.delete(label);
    else hidden.add(label);
    buttons[index].setAttribute('aria-pressed', String(isShown));
    switched(index, isShown);
  };
  const alone = (chosen) => labels.forEach((_, index) => set(index, index === chosen));
  const all = button('All', () => labels.forEach((_, index) => set(index, true)), {
    class: 'key all',
  });
  const values = (at) => {
    time.textContent = at ? at.time.replace('T', ' ').replace(/(\.000)?Z$/, ' UTC') : '';
    numbers.forEach((number, index) => {
      const value = at?.values[index];
      number.textContent =
        value === null || value === undefined ? '' : String(Number(value.toPrecision(7)));
    });
  };
  const element = el(
    'div',
    { class: 'legend', role: 'group', 'aria-label': 'Lines' },
    buttons,
    labels.length > 1 ? all : null,
  );
  return { element, time, values };
}
