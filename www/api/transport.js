// The only way out of the page: to the server that sent it, or to the engine inside the browser.

import { setToken, token } from './token.js';

const kept = 'tidemark.place';
const keeping = 'tidemark.persist';
const listeners = [];
let place = localStorage.getItem(kept) ?? 'server';
let starting = null;
let checking = null;
let trouble = null;
/** Whether this page goes without what is kept. */
let isAside = false;

/** `server`, or `browser` for the engine in this page. */
export const currentPlace = () => place;

const announce = () => listeners.forEach((listener) => listener(place));

/** Whether what the engine holds is kept in the browser's storage. */
export const isKept = () => !isAside && localStorage.getItem(keeping) === 'yes';

/** Why the engine does not start, with a `code` of `engine.js`; or null. */
export const engineTrouble = () => trouble;

/** Calls `listener(place)` after each change of place. */
export const onPlace = (listener) => listeners.push(listener);

const load = (settings) =>
  import('../engine/engine.js').then(({ startEngine }) => startEngine(settings));

/** The engine of the page, loaded when somebody needs it. */
export function engine() {
  starting ??= load({ persist: isKept() }).then(
    (started) => {
      trouble = null;
      return started;
    },
    (error) => {
      trouble = error;
      starting = null;
      throw error;
    },
  );
  return starting;
}

/** An engine that reads lines. While the server has the data, the one beside it opens nothing. */
export function checker() {
  if (place === 'browser') return engine();
  checking ??= load({ persist: false }).catch((error) => {
    checking = null;
    throw error;
  });
  return checking;
}

/** Moves to another place. Rejects, and stays, if there is no engine. */
export async function moveTo(next, { remember = true } = {}) {
  if (next === 'browser') await engine();
  place = next;
  if (remember) localStorage.setItem(kept, next);
  announce();
}

/** From now on stores what the engine holds, or deletes what is stored of it. */
export async function setKept(isWanted) {
  await (await engine()).keep(isWanted);
  localStorage.setItem(keeping, isWanted ? 'yes' : 'no');
}

/** Empties the engine, and what is kept of it even if that cannot be read. */
export async function forget() {
  if (trouble) {
    const { forgetStored } = await import('../engine/engine.js');
    await forgetStored();
    await engine();
  } else {
    await (await engine()).forget();
  }
  announce();
}

/** Begins with an empty engine; what is kept stays as it is, and nothing is added to it. */
export async function goAside() {
  isAside = true;
  await engine();
  announce();
}

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
  place = 'browser';
  // Whoever asks it something is told why there is no answer.
  await engine().catch(() => {});
  announce();
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
