// A row of tabs. The arrow keys select a tab.

import { button, el } from './dom.js';

/**
 * Returns a list of tabs. `controls` is the id of the tab panel. Calls `picked(index)` when the
 * user selects a tab.
 */
export function tabList(label, names, { controls, picked }) {
  const tabs = names.map((name, index) =>
    button(name, () => picked(index), {
      role: 'tab',
      id: `${controls}-tab-${index}`,
      'aria-controls': controls,
    }),
  );
  const keydown = ({ key, target }) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
    if (!step) return;
    const next = (tabs.indexOf(target) + step + names.length) % names.length;
    picked(next);
    tabs[next].focus();
  };
  const mark = (chosen) =>
    tabs.forEach((tab, index) => {
      tab.setAttribute('aria-selected', String(index === chosen));
      tab.tabIndex = index === chosen ? 0 : -1;
    });
  const element = el('div', { role: 'tablist', 'aria-label': label, on: { keydown } }, tabs);
  return { element, mark };
}
