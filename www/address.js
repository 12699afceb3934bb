// The part of the address after #: database, language, query, range and view. Never the token.

import { namesPassword } from './influxql/statements.js';
import { change, current, languageNames, onChange, views } from './state.js';

const keys = { view: 'view', db: 'db', language: 'language', range: 'range', query: 'q' };

/** Links without these words mean this. */
const unsaid = { view: 'chart', db: '', language: languageNames[0], range: 'all', query: '' };

/** Typing is quicker than some browsers let a page change its address. */
const pause_ms = 300;

/** The hash of a state. A query that names a password is left out. */
export function hashOf(state) {
  const parameters = new URLSearchParams();
  for (const [key, name] of Object.entries(keys)) {
    if (key === 'query' && namesPassword(state.query)) continue;
    if (key === 'language' && state.language === unsaid.language) continue;
    if (state[key]) parameters.set(name, state[key]);
  }
  return `#${parameters}`;
}

/** What a hash asks for; what it leaves out is as at the beginning. */
export function stateOf(hash) {
  const parameters = new URLSearchParams(hash.replace(/^#/, ''));
  const asked = { ...unsaid };
  for (const [key, name] of Object.entries(keys)) {
    if (parameters.has(name)) asked[key] = parameters.get(name);
  }
  if (!views.includes(asked.view)) asked.view = unsaid.view;
  if (!languageNames.includes(asked.language)) asked.language = unsaid.language;
  return asked;
}

/**
 * Keeps state and address the same. `moved()` is called when the visitor went back or forth, or
 * came by a link.
 */
export function followAddress(moved) {
  let timer = null;
  const write = (how) => {
    clearTimeout(timer);
    const hash = hashOf(current());
    if (hash !== location.hash) history[how](null, '', hash);
  };
  const read = () => {
    clearTimeout(timer);
    change(stateOf(location.hash));
    moved();
  };
  addEventListener('popstate', read);
  onChange((now, before) => {
    if (hashOf(now) === hashOf(before)) return;
    // Typing is no step to go back to; another view, language, range or database is.
    const isStep = ['view', 'db', 'language', 'range'].some((key) => now[key] !== before[key]);
    if (isStep) return write('pushState');
    clearTimeout(timer);
    timer = setTimeout(write, pause_ms, 'replaceState');
  });
  change(stateOf(location.hash));
}

/** The address of what is shown now, to give to somebody else. */
export const shareAddress = () => `${location.origin}${location.pathname}${hashOf(current())}`;
