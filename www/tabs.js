// A row of tabs. The arrow keys select a tab.

import { el } from './dom.js';

/** `controls` is the id of the tab panel. `picked(index)` follows a selection by the user. */
export function tabList(label, names, { controls, picked }) {
  const keyed = ({ key }, index) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
    if (!step) return;
    const next = (index + step + names.length) % names.length;
    picked(next);
    tabs[next].focus();
  };
  const tabs = names.map((name, index) =>
    el(
      'button',
      {
        type: 'button',
        role: 'tab',
        id: `${controls}-tab-${index}`,
        'aria-controls': controls,
        on: { click: () => picked(index), keydown: (event) => keyed(event, index) },
      },
      name,
    ),
  );
  const mark = (chosen) =>
    tabs.forEach((tab, index) => {
      tab.setAttribute('aria-selected', String(index === chosen));
      tab.tabIndex = index === chosen ? 0 : -1;
    });
  return { element: el('div', { role: 'tablist', 'aria-label': label }, tabs), mark };
}
