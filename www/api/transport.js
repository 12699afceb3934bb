// The only way out of the page: to the server that sent it, or to the engine inside the browser.

import { setToken, token } from './token.js';

const kept = 'tidemark.place';
const keeping = 'tidemark.persist';
const listeners = [];
let place = localStorage.getItem(kept) ?? 'server';
let starting = null;

/** `server`, or `browser` for the engine in this page. */
export const currentPlace = () => place;

/** Whether what the engine holds is kept in the browser's storage. */
export const isKept = () => localStorage.getItem(keeping) === 'yes';

/** Calls `listener(place)` after each change of place. */
export const onPlace = (listener) => listeners.push(listener);

/** The engine of the page, loaded when somebody needs it. */
export function engine() {
  starting ??= import('../engine/engine.js')
    .then(({ startEngine }) => startEngine({ persist: isKept() }))
    .catch((error) => {
      starting = null;
      throw error;
    });
  return starting;
}

/** Moves to another place. Rejects, and stays, if there is no engine. */
export async function moveTo(next, { remember = true } = {}) {
  if (next === 'browser') await engine();
  place = next;
  if (remember) localStorage.setItem(kept, next);
  listeners.forEach((listener) => listener(place));
}

/** From now on stores what the engine holds, or deletes what is stored of it. */
export async function setKept(isWanted) {
  await (await engine()).keep(isWanted);
  localStorage.setItem(keeping, isWanted ? 'yes' : 'no');
}

/** Forgets whatever the engine keeps. */
export const forget = async () => (await engine()).forget();

/** Whether a Tidemark answers where the page came from. */
async function serverAnswers() {
  try {
    const response = await fetch('/ping');
    return response.status === 204;
  } catch {
    return false;
  }
}

/** Chooses the engine where no server answers. */
export async function settlePlace() {
  if (place === 'server' && (await serverAnswers())) return;
  try {
    await moveTo('browser', { remember: false });
  } catch {
    place = 'server';
  }
}

/** A request to `path` of the API, with the token. A 401 forgets nothing: the page asks anew. */
export async function request(path, init = {}) {
  if (place === 'browser') return (await engine()).fetch(path, init);
  const headers = { Accept: 'application/json', ...init.headers };
  if (token()) headers.Authorization = `Bearer ${token()}`;
  return fetch(path, { ...init, headers });
}

/** Whether `candidate` is a token that the server knows; keeps it if so. */
export async function signIn(candidate) {
  const headers = { Authorization: `Bearer ${candidate}` };
  const response = await fetch('/query?q=SHOW+DATABASES', { headers });
  await response.arrayBuffer();
  if (response.ok) setToken(candidate);
  return response.status;
}
