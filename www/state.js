// What the console shows: one small record that whoever cares may listen to.

/** The views; the first four show a query's result. */
export const resultViews = ['chart', 'table', 'raw', 'tail'];
export const views = [...resultViews, 'write', 'connect'];

/** What a query may be written in; the first is what is meant where nothing is said. */
export const languageNames = ['influxql', 'sql'];

const state = { view: 'chart', db: '', language: 'influxql', query: '', range: 'all', refresh: 0 };
const listeners = [];

/** The record as it is; not to be changed. */
export const current = () => state;

/** Takes over the changes and tells whoever listens, if there is any change. */
export function change(changes) {
  const before = { ...state };
  Object.assign(state, changes);
  const isSame = Object.keys(changes).every((key) => before[key] === state[key]);
  if (!isSame) listeners.forEach((listener) => listener(state, before));
}

/** Calls `listener(now, before)` after each change. */
export function onChange(listener) {
  listeners.push(listener);
}
