// Sends all requests of the page, either to the page's server or to the database engine inside the
// browser.

import { ofBrowser } from '../storage.js';
import { setToken, token } from './token.js';

const kept = 'tidemark.place';
const keeping = 'tidemark.persist';
const listeners = [];
const stateListeners = [];

/** Without a server (`npm run build -- --static`), the data is in the browser. */
export const isStatic = document.documentElement.dataset.place === 'browser';

let place = isStatic ? 'browser' : (ofBrowser.get(kept) ?? 'server');
let outage = null;
/**
 * Whether the server accepts requests without a token, because Cloudflare Access protects the
 * server and has admitted the user.
 */
let isAdmitted = false;
let starting = null;
let running = null;
let checking = null;
let trouble = null;
/** Whether this page ignores the data that the browser has stored. */
let isTemporary = false;

/** Returns `server`, or `browser` for the engine in this page. */
export const currentPlace = () => place;

export const currentOutage = () => (place === 'server' ? outage : null);

/** Returns whether the server accepts the user without a token. */
export const isLetIn = () => place === 'server' && isAdmitted;

/**
 * Returns whether the page can query: the place is available, and a token exists if the place needs
 * one.
 */
export const canQuery = () =>
  place === 'browser' || ((token() !== '' || isAdmitted) && outage === null);

const announce = () => listeners.forEach((listener) => listener(place));

/** Returns whether the browser stores the engine's data, or will do so after the start. */
export const isKept = () =>
  running?.state.isKept ?? (!isTemporary && ofBrowser.get(keeping) === 'yes');

export const currentUnstored = () => running?.state.unstored ?? null;

/** Stores the engine's changes now. Rejects if storing fails again. */
export const storeNow = async () => (await engine()).store();

/**
 * Returns whether leaving the page would delete data that is not stored and that no other tab uses.
 */
export const isForgetful = () => {
  if (place !== 'browser' || !running) return false;
  const { isKept: isStored, isEmpty, tabs, unstored } = running.state;
  return !isEmpty && (!isStored || unstored !== null) && tabs <= 1;
};

export const isShared = () => running?.isShared === true;

/**
 * Returns the state of SQL in the page. `bytes` is the number of bytes that are loaded so far, or
 * null if SQL is not loading.
 */
export const sqlState = () => running?.state.sql ?? { isReady: false, bytes: null };

export const loadSql = async () => (await engine()).loadSql();

/** Returns the error of the engine's start, with a `code` from `engine.js`, or null. */
export const engineTrouble = () => trouble;

export const onPlace = (listener) => listeners.push(listener);

export const onEngineState = (listener) => stateListeners.push(listener);

const tellState = () => stateListeners.forEach((listener) => listener());

/**
 * Records in this browser whether the data is stored. Every tab does this, because the tab that
 * requested the change may already be closed.
 */
function stateChanged() {
  if (running && !isTemporary) ofBrowser.set(keeping, running.state.isKept ? 'yes' : 'no');
  tellState();
}

const load = (settings) =>
  import('../engine/engine.js').then(({ startEngine }) => startEngine(settings));

export function engine() {
  const settings = { persist: isKept(), shared: !isTemporary, changed: stateChanged };
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

/**
 * Resolves to an engine that can validate lines. If the data is on the server, this engine opens no
 * database.
 */
export function checker() {
  if (place === 'browser') return engine();
  checking ??= load({ persist: false }).catch((error) => {
    checking = null;
    throw error;
  });
  return checking;
}

/** Changes the place. If the engine does not start, rejects and changes nothing. */
export async function moveTo(next, { remember = true } = {}) {
  if (next === 'browser') await engine();
  else outage = await outageNow();
  place = next;
  if (remember) ofBrowser.set(kept, next);
  announce();
}

/** Turns storage in the browser on or off. If `isWanted` is false, deletes the stored data. */
export async function setKept(isWanted) {
  const started = await engine();
  await started.keep(isWanted);
  if (ofBrowser.set(keeping, isWanted ? 'yes' : 'no') || !isWanted) return;
  await started.keep(false);
  throw new Error('The browser blocks storage for this page: allow storage for the page, and try again.');
}

/** Empties the engine and deletes its stored data, even if the data is unreadable. */
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

/** Does not change the stored data. */
export async function startTemporaryDatabase() {
  isTemporary = true;
  await engine();
  announce();
}

/** Returns null, or a sentence about the problem with the page's host. */
async function outageNow() {
  try {
    const { status, headers } = await fetch('/ping', { cache: 'no-store' });
    isAdmitted = headers.has('X-Tidemark-Access') && (await knows({})) === 200;
    return status === 204 ? null : `${location.host} returns ${status}: check that Tidemark is running at this address.`;
  } catch {
    return `${location.host} cannot be reached.`;
  }
}

/**
 * Determines the state of the selected place. An unavailable server remains selected. If the page
 * switched to its own database instead, later writes would not reach the server.
 */
export async function settlePlace() {
  if (place === 'server') outage = await outageNow();
  // The caller that uses the engine handles this error.
  else await engine().catch(() => {});
  announce();
}

/**
 * Sends a request to the current place. A response with status 401 does not delete the token.
 * Instead the page prompts for a new token.
 */
export async function request(path, init = {}) {
  if (place === 'browser') return (await engine()).fetch(path, init);
  const headers = { Accept: 'application/json', ...init.headers };
  if (token()) headers.Authorization = `Bearer ${token()}`;
  const response = await fetch(path, { ...init, headers });
  if (response.status === 401 && !token()) isAdmitted = false;
  return response;
}

async function knows(headers) {
  const response = await fetch('/query?q=SHOW+DATABASES', { headers });
  await response.arrayBuffer();
  return response.status;
}

/** Stores the token if it is valid. Returns the status. */
export async function signIn(candidate) {
  const status = await knows({ Authorization: `Bearer ${candidate}` });
  if (status === 200) setToken(candidate);
  return status;
}
