// The explorer: a tree of names, and the card of the selected database.

import * as schema from '../api/schema.js';
import { button, el } from '../dom.js';
import { current, onChange } from '../state.js';
import { card } from './card.js';
import { tree } from './tree.js';

/** Creates the explorer. `fill()` reads the names of the databases. */
export function explorer(host, { put, names }) {
  const figures = card();
  const branches = tree((item) => (put(item), close()));
  const reload = button('Read the schema again', () => fill(), {
    icon: 'refresh',
    alone: true,
    class: 'bare',
  });
  const opener = button('Explorer', () => setOpen(!host.classList.contains('open')), {
    icon: 'menu',
    class: 'drawer-opener',
    'aria-expanded': 'false',
  });
  const setOpen = (isOpen) => {
    host.classList.toggle('open', isOpen);
    opener.setAttribute('aria-expanded', String(isOpen));
  };
  const close = () => setOpen(false);
  const fill = async () => {
    schema.forgetSchema();
    const filled = branches.fill(await names());
    figures.fill(current().db);
    await filled;
  };
  host.replaceChildren(
    opener,
    el(
      'div',
      { class: 'drawer' },
      el('div', { class: 'explorer-head' }, el('h2', {}, 'Explorer'), reload),
      branches.element,
      figures.element,
    ),
  );
  onChange((now, before) => now.db !== before.db && figures.fill(now.db));
  return { fill, close };
}
