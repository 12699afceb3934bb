// The token, for as long as the tab is open. It is never written anywhere else.

import { ofTab } from '../storage.js';

const key = 'tidemark.token';
const listeners = [];

/** The token, or the empty text. */
export const token = () => ofTab.get(key) ?? '';

/** Keeps another token; the empty text forgets it. */
export function setToken(text) {
  ofTab.set(key, text || null);
  listeners.forEach((listener) => listener());
}

/** Whether the token is gone when the page is loaded anew: this browser keeps nothing for it. */
export const isTokenUnkept = () => ofTab.isUnkept(key);

/** Calls `listener()` whenever the token has changed. */
export const onToken = (listener) => listeners.push(listener);
