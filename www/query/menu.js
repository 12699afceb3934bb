// A button that opens a small panel below it.

import { el } from '../dom.js';

/**
 * Returns the button with its panel. `fill(panel, close)` adds the contents whenever the panel
 * opens. Escape and a click outside of the panel close it.
 */
export function menu(opener, label, fill) {
  const panel = el('div', { class: 'menu', role: 'group', 'aria-label': label, hidden: true });
  const element = el('div', { class: 'menu-place' }, opener, panel);
  opener.setAttribute('aria-expanded', 'false');
  const show = (isOpen) => {
    panel.hidden = !isOpen;
    opener.setAttribute('aria-expanded', String(isOpen));
  };
  const close = () => {
    if (panel.hidden) return;
    const hadFocus = panel.contains(document.activeElement);
    show(false);
    if (hadFocus) opener.focus();
  };
  opener.addEventListener('click', () => {
    if (!panel.hidden) return close();
    panel.replaceChildren();
    fill(panel, close);
    show(true);
    panel.querySelector('button, input, select')?.focus();
  });
  element.addEventListener('keydown', (event) => event.key === 'Escape' && close());
  document.addEventListener('pointerdown', (event) => {
    if (!element.contains(event.target)) show(false);
  });
  return element;
}
