// The queries of before, in this browser only.

import { button, el } from '../dom.js';
import { namesPassword } from '../influxql/statements.js';
import { ofBrowser } from '../storage.js';
import { menu } from './menu.js';

const key = 'tidemark.history';

/** So many are kept. */
const entriesMax = 100;

function entries() {
  try {
    return JSON.parse(ofBrowser.get(key)) ?? [];
  } catch {
    return [];
  }
}

/** Keeps a query, unless it names a password; one that was there moves to the top. */
export function remember({ text, db, outcome }) {
  if (!text.trim() || namesPassword(text)) return;
  const others = entries().filter((entry) => entry.text !== text || entry.db !== db);
  const all = [{ text, db, outcome, at: new Date().toISOString() }, ...others];
  ofBrowser.set(key, JSON.stringify(all.slice(0, entriesMax)));
}

/** The button with the list. `chosen({ text, db })` is called with the one that is picked. */
export function historyMenu(chosen) {
  const opener = button('History', null, { icon: 'history', class: 'quiet' });
  return menu(opener, 'History', (panel, close) => {
    const all = entries();
    if (all.length === 0) {
      panel.append(
        el(
          'p',
          { class: 'faint' },
          'The queries that you run are listed here, in this browser only.',
        ),
      );
      return;
    }
    const rows = all.map((entry) =>
      el(
        'button',
        { type: 'button', class: 'past', on: { click: () => (close(), chosen(entry)) } },
        el('code', {}, entry.text),
        el(
          'small',
          {},
          [entry.db, entry.outcome, entry.at.slice(0, 16).replace('T', ' ')]
            .filter((part) => part)
            .join(' · '),
        ),
      ),
    );
    const clear = () => {
      ofBrowser.set(key, null);
      close();
    };
    panel.append(
      el('div', { class: 'pasts' }, rows),
      button('Clear history', clear, { class: 'quiet' }),
    );
  }).element;
}
