// The query history, which is stored only in this browser.

import { button, el } from '../dom.js';
import { containsPassword } from '../influxql/statements.js';
import { languageNames } from '../state.js';
import { ofBrowser } from '../storage.js';
import { languages } from './languages.js';
import { menu } from './menu.js';

const key = 'tidemark.history';

const entriesMax = 100;

function entries() {
  try {
    return JSON.parse(ofBrowser.get(key)) ?? [];
  } catch {
    return [];
  }
}

/** Entries of old versions contain no language, because these versions had only one language. */
const languageOf = ({ language }) => (languageNames.includes(language) ? language : languageNames[0]);

const askedOf = (entry) => ({ query: entry.text, db: entry.db ?? '', language: languageOf(entry) });

/** Adds a query to the top of the history. An existing entry moves to the top. */
export function remember({ text, db, language, outcome }) {
  if (!text.trim() || containsPassword(text)) return;
  const isSame = (entry) => entry.text === text && entry.db === db && languageOf(entry) === language;
  const others = entries().filter((entry) => !isSame(entry));
  const all = [{ text, db, language, outcome, at: new Date().toISOString() }, ...others];
  ofBrowser.set(key, JSON.stringify(all.slice(0, entriesMax)));
}

/** Calls `chosen({ query, db, language })` with the selected entry. */
export function historyMenu(chosen) {
  const opener = button('History', null, { icon: 'history', class: 'quiet' });
  return menu(opener, 'History', (panel, close) => {
    const all = entries();
    if (all.length === 0) {
      const note = 'The queries that you run are listed here, in this browser only.';
      return panel.append(el('p', { class: 'faint' }, note));
    }
    const rows = all.map((entry) => {
      const time = entry.at.slice(0, 16).replace('T', ' ');
      const about = [entry.db, languages[languageOf(entry)].label, entry.outcome, time];
      const parts = [el('code', {}, entry.text), el('small', {}, about.filter(Boolean).join(' · '))];
      return button(parts, () => (close(), chosen(askedOf(entry))), { class: 'past' });
    });
    const clear = () => {
      ofBrowser.set(key, null);
      close();
    };
    panel.append(
      el('div', { class: 'pasts' }, rows),
      button('Clear history', clear, { class: 'quiet' }),
    );
  });
}
