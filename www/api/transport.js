// The only way out of the page: to the server that sent it, or to the engine inside the browser.

import { ofBrowser } from '../storage.js';
import { setToken, token } from './token.js';

const kept = 'tidemark.place';
const keeping = 'tidemark.persist';
const listeners = [];
const stateListeners = [];

/** Whether the page was built to stand without a server: `npm run build -- --static`. */
export const isStatic = document.documentElement.dataset.place === 'browser';

let place = isStatic ? 'browser' : (ofBrowser.get(kept) ?? 'server');
let outage = null;
/** Whether Cloudflare Access stands before the server, and lets in who has no token. */
let isAdmitted = false;
let starting = null;
let running = null;
let checking = null;
let trouble = null;
/** Whether this page goes without what is kept. */
let isAside = false;

/** `server`, or `browser` for the engine in this page. */
export const currentPlace = () => place;

/** Why the server cannot be asked, as far as that is known; or null. */
export const currentOutage = () => (place === 'server' ? outage : null);

/** Whether the server lets in whoever sits here without a token. */
export const isLetIn = () => place === 'server' && isAdmitted;

/** Whether there is anybody to ask, and a token to ask with. */
export const mayAsk = () =>
  place === 'browser' || ((token() !== '' || isAdmitted) && outage === null);

const announce = () => listeners.forEach((listener) => listener(place));

/** Whether what the engine holds is kept in the browser's storage, or will be once it has started. */
export const isKept = () =>
  running?.state.isKept ?? (!isAside && ofBrowser.get(keeping) === 'yes');

/** Why something of what is to be kept is not stored; or null. */
export const currentUnstored = () => running?.state.unstored ?? null;

/** Stores what could not be stored. Rejects if it still cannot be. */
export const storeNow = async () => (await engine()).store();

/**
 * Whether leaving the page loses what was written: it is in this browser, not kept, and no other
 * tab has it.
 */
export const isForgetful = () => {
  if (place !== 'browser' || !running) return false;
  const { isKept: isStored, isEmpty, tabs, unstored } = running.state;
  return !isEmpty && (!isStored || unstored !== null) && tabs <= 1;
};

/** Whether all tabs have the database of this page. */
export const isShared = () => running?.isShared === true;

/** Whether the page's own database has SQL, and how many bytes of it have come while it is loaded, or null. */
export const sqlState = () => running?.state.sql ?? { isReady: false, bytes: null };

/** Loads SQL into the page's own database. */
export const loadSql = async () => (await engine()).loadSql();

/** Why the engine does not start, with a `code` of `engine.js`; or null. */
export const engineTrouble = () => trouble;

/** Calls `listener(place)` after each change of place. */
export const onPlace = (listener) => listeners.push(listener);

/** Calls `listener()` after each change of what is said above of the engine. */
export const onEngineState = (listener) => stateListeners.push(listener);

const tellState = () => stateListeners.forEach((listener) => listener());

/** Each tab that is told whether the data is kept remembers it: the one that asked may be gone. */
function stateChanged() {
  if (running && !isAside) ofBrowser.set(keeping, running.state.isKept ? 'yes' : 'no');
  tellState();
}

const load = (settings) =>
  import('../engine/engine.js').then(({ startEngine }) => startEngine(settings));

/** The engine of the page, loaded when somebody needs it. */
export function engine() {
  const settings = { persist: isKept(), shared: !isAside, changed: stateChanged };
  starting ??= load(settings).then(
    (started) => {
      trouble = null;
      running = started;
      tellState();
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
  else outage = await outageNow();
  place = next;
  if (remember) ofBrowser.set(kept, next);
  announce();
}

/** From now on stores what the engine holds, or deletes what is stored of it. */
export async function setKept(isWanted) {
  const started = await engine();
  await started.keep(isWanted);
  if (ofBrowser.set(keeping, isWanted ? 'yes' : 'no') || !isWanted) return;
  await started.keep(false);
  throw new Error('This browser lets the page remember nothing, not even that it keeps something.');
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

/** Null if a Tidemark answers where the page came from; else what is wrong, as a sentence. */
async function outageNow() {
  try {
    const { status, headers } = await fetch('/ping', { cache: 'no-store' });
    isAdmitted = headers.has('X-Tidemark-Access') && (await knows({})) === 200;
    return status === 204 ? null : `${location.host} answers ${status}, which no working Tidemark does.`;
  } catch {
    return `${location.host} cannot be reached.`;
  }
}

/**
 * Looks whether there is an answer from where the data lives. A server that does not answer stays
 * chosen: what is written meanwhile must not vanish in this page.
 */
export async function settlePlace() {
  if (place === 'server') outage = await outageNow();
  // Whoever asks the engine something is told why there is no answer.
  else await engine().catch(() => {});
  announce();
}

/** A request to `path` of the API, with the token. A 401 forgets nothing: the page asks anew. */
export async function request(path, init = {}) {
  if (place === 'browser') return (await engine()).fetch(path, init);
  const headers = { Accept: 'application/json', ...init.headers };
  if (token()) headers.Authorization = `Bearer ${token()}`;
  const response = await fetch(path, { ...init, headers });
  if (response.status === 401 && !token()) isAdmitted = false;
  return response;
}

/** The status with which the server answers who sends these headers. */
async function knows(headers) {
  const response = await fetch('/query?q=SHOW+DATABASES', { headers });
  await response.arrayBuffer();
  return response.status;
}

/** Whether `candidate` is a token that the server knows; keeps it if so. */
export async function signIn(candidate) {
  const status = await knows({ Authorization: `Bearer ${candidate}` });
  if (status === 200) setToken(candidate);
  return status;
}
