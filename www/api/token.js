// The token, for as long as the tab is open. It is never written anywhere else.

const key = 'tidemark.token';
const listeners = [];

/** The token, or the empty text. */
export const token = () => sessionStorage.getItem(key) ?? '';

/** Keeps another token; the empty text forgets it. */
export function setToken(text) {
  if (text) sessionStorage.setItem(key, text);
  else sessionStorage.removeItem(key);
  listeners.forEach((listener) => listener());
}

/** Calls `listener()` whenever the token has changed. */
export const onToken = (listener) => listeners.push(listener);
