// Stores the token, but only in the session storage of the tab.

import { ofTab } from '../storage.js';

const key = 'tidemark.token';
const listeners = [];

export const token = () => ofTab.get(key) ?? '';

/** An empty string deletes the stored token. */
export function setToken(text) {
  ofTab.set(key, text || null);
  listeners.forEach((listener) => listener());
}

/**
 * A link such as `/#token=secret` from elsewhere could make the user write into another database,
 * so the user must confirm that a token is replaced.
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

/** A browser without session storage loses the token on a reload. */
export const isTokenUnkept = () => ofTab.isUnkept(key);

/** Calls `listener()` after each change of the token. */
export const onToken = (listener) => listeners.push(listener);
