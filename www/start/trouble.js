// The page that is displayed while the database is unavailable, on the server or in the browser.

import { forget, startTemporaryDatabase, settlePlace } from '../api/transport.js';
import { button, el, errorAlert } from '../dom.js';

/** Fills the place of the result with a page. Omits null parts. */
export function showStartPage(host, title, ...parts) {
  host.replaceChildren(el('div', { class: 'welcome' }, el('h2', {}, title), parts));
}

/**
 * Shows that the server does not respond, with a button that tries again. Keeps the text that the
 * user has typed.
 */
export function showOutage(host, outage, reload) {
  const retry = async () => {
    again.disabled = true;
    await settlePlace();
    reload();
  };
  const again = button('Try again', retry, { class: 'primary' });
  showStartPage(
    host,
    'The server does not respond',
    el('p', { role: 'alert' }, outage),
    el('p', {}, 'This page keeps your input. Try again when the server responds.'),
    el('div', { class: 'row' }, again),
  );
}

/** Displays the engine's problem with possible solutions. */
export function showEngineTrouble(host, { code, message }, reload) {
  const wrong = errorAlert();
  const attempt = (work) => () =>
    wrong.attempt(async () => {
      await work();
      reload();
    });
  const again = button('Try again', () => location.reload(), { class: 'primary' });
  const aside = button('Use an empty, temporary database', attempt(startTemporaryDatabase));
  const anew = button('Delete the stored database and start empty', attempt(forget));
  const ways = { unreadable: [aside, anew], 'in-use': [again, aside], storage: [again, aside] };
  showStartPage(
    host,
    'The database in this browser did not start',
    el('p', {}, message),
    el('div', { class: 'row' }, ways[code] ?? [again]),
    wrong.element,
  );
}
