// The state of the console. It is a small record with listeners.

/** The views that display a query's result. */
export const resultViews = ['chart', 'table', 'raw', 'tail'];
export const views = [...resultViews, 'write', 'connect'];

/** The query languages. The first language is the default. */
export const languageNames = ['influxql', 'sql'];

const state = { view: 'chart', db: '', language: 'influxql', query: '', range: 'all', refresh: 0 };
const listeners = [];

/** Returns the record. Callers must not change it. */
export const current = () => state;

/** Applies changes. If a value differs, notifies the listeners. */
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
