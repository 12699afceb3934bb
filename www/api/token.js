// Stores the token, but only in the session storage of the tab.

import { ofTab } from '../storage.js';

const key = 'tidemark.token';
const listeners = [];

export const token = () => ofTab.get(key) ?? '';

/** Stores the token. An empty string deletes the stored token. */
export function setToken(text) {
  ofTab.set(key, text || null);
  listeners.forEach((listener) => listener());
}

/**
 * Stores the token of a link such as `/#token=secret`. If another token is stored, asks the user
 * first, because a malicious link could make the user write into another database.
 */
export function takeLinkedToken() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  const linked = parameters.get('token');
  if (linked === null) return;
  parameters.delete('token');
  history.replaceState(null, '', parameters.size > 0 ? `#${parameters}` : location.pathname);
  if (!linked || linked === token()) return;
  const question = 'This link contains another token. Use it instead of the token of this tab?';
  if (!token() || confirm(question)) setToken(linked);
}

/** Returns whether a reload loses the token, because the browser has no session storage. */
export const isTokenUnkept = () => ofTab.isUnkept(key);

/** Calls `listener()` after each change of the token. */
export const onToken = (listener) => listeners.push(listener);
