// The state of the console. It is a small record with listeners.

export const resultViews = ['chart', 'table', 'raw', 'tail'];
export const views = [...resultViews, 'write', 'connect'];

/** The first language is the default. */
export const languageNames = ['influxql', 'sql'];

const state = { view: 'chart', db: '', language: 'influxql', query: '', range: 'all', refresh: 0 };
const listeners = [];

/** Callers must not change the result. */
export const current = () => state;

/** Changes values of the state. Notifies the listeners if a value differs. */
export function change(changes) {
  const before = { ...state };
  Object.assign(state, changes);
  const isSame = Object.keys(changes).every((key) => before[key] === state[key]);
  if (!isSame) listeners.forEach((listener) => listener(state, before));
}

export function onChange(listener) {
  listeners.push(listener);
}
