// Reads and writes the part of the address after #: database, language, query, range and view. A
// link may also contain a token. The page then stores the token and removes it from the address.

import { takeLinkedToken } from './api/token.js';
import { containsPassword } from './influxql/statements.js';
import { change, current, languageNames, onChange, views } from './state.js';

const keys = { view: 'view', db: 'db', language: 'language', range: 'range', query: 'q' };

/** The values of the parameters that a link does not contain. */
const unsaid = { view: 'chart', db: '', language: languageNames[0], range: 'all', query: '' };

/** Some browsers limit how often a page may change the address. */
const pause_ms = 300;

export function hashOf(state) {
  const parameters = new URLSearchParams();
  for (const [key, name] of Object.entries(keys)) {
    if (key === 'query' && containsPassword(state.query)) continue;
    if (key === 'language' && state.language === unsaid.language) continue;
    if (state[key]) parameters.set(name, state[key]);
  }
  return `#${parameters}`;
}

/** Parses the part of the address after #. Missing parameters get their default values. */
function stateOf(hash) {
  const parameters = new URLSearchParams(hash.replace(/^#/, ''));
  const values = Object.entries(keys).map(([key, name]) => [key, parameters.get(name) ?? unsaid[key]]);
  const asked = Object.fromEntries(values);
  if (!views.includes(asked.view)) asked.view = unsaid.view;
  if (!languageNames.includes(asked.language)) asked.language = unsaid.language;
  return asked;
}

/** Calls `moved()` after a navigation back or forward and after a click on a link. */
export function followAddress(moved) {
  let timer = null;
  const write = (how) => {
    clearTimeout(timer);
    const hash = hashOf(current());
    if (hash !== location.hash) history[how](null, '', hash);
  };
  const read = () => {
    clearTimeout(timer);
    takeLinkedToken();
    change(stateOf(location.hash));
    moved();
  };
  addEventListener('popstate', read);
  onChange((now, before) => {
    if (hashOf(now) === hashOf(before)) return;
    // While the user types, the history entry is replaced. Other changes add an entry.
    const isStep = ['view', 'db', 'language', 'range'].some((key) => now[key] !== before[key]);
    if (isStep) return write('pushState');
    clearTimeout(timer);
    timer = setTimeout(write, pause_ms, 'replaceState');
  });
  takeLinkedToken();
  change(stateOf(location.hash));
}

/** Returns the address of the current state, for sharing. */
export const shareAddress = () => `${location.origin}${location.pathname}${hashOf(current())}`;
