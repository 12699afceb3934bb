// Stores the token in the tab's session storage only.

import { ofTab } from '../storage.js';

const key = 'tidemark.token';
const listeners = [];

/** Returns the token, or the empty string. */
export const token = () => ofTab.get(key) ?? '';

/** Stores a new token. The empty string deletes it. */
export function setToken(text) {
  ofTab.set(key, text || null);
  listeners.forEach((listener) => listener());
}

/** Returns whether a reload loses the token, because the browser has no session storage. */
export const isTokenUnkept = () => ofTab.isUnkept(key);

/** Calls `listener()` after each change of the token. */
export const onToken = (listener) => listeners.push(listener);
