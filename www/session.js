// The top right corner of the page. It shows the place of the data and the token.

import { isTokenUnkept, setToken, token } from './api/token.js';
import {
  currentOutage,
  currentPlace,
  currentUnstored,
  forget,
  isForgetful,
  isKept,
  isLetIn,
  isShared,
  isStatic,
  moveTo,
  onEngineState,
  onPlace,
  setKept,
  storeNow,
} from './api/transport.js';
import { button, el, errorAlert, say } from './dom.js';
import { menu } from './query/menu.js';
import { signInForm } from './start/sign_in.js';
import { change } from './state.js';

const unstoredNotice =
  'A token is set. The browser blocks storage for this page, so a reload deletes the token.';

const accessNotice =
  'Cloudflare Access has authenticated you as an administrator. If you set a token, the console uses the token instead.';

/**
 * Creates the corner with the session's state. Its buttons call `reload()`, which reads all data
 * again. Returns a function that updates the corner.
 */
export function sessionCorner(host, reload) {
  const [placeText, tokenText] = [el('span'), el('span')];
  const placeButton = button([el('i', { class: 'dot' }), placeText], null, { class: 'quiet place' });
  const tokenButton = button([tokenText], null, { icon: 'key', class: 'quiet' });

  const show = () => {
    const isServer = currentPlace() === 'server';
    const inBrowser = isKept() ? 'In this browser' : 'In this browser, temporary';
    const ofBrowser = currentUnstored() ? 'In this browser, not stored' : inBrowser;
    const ofServer = currentOutage() ? `${location.host}, no response` : location.host;
    placeText.textContent = isServer ? ofServer : ofBrowser;
    placeButton.classList.toggle('local', !isServer && (!isKept() || currentUnstored() !== null));
    placeButton.classList.toggle('wanted', (isServer ? currentOutage() : currentUnstored()) !== null);
    const unset = isLetIn() ? 'Signed in by Access' : 'Enter token';
    tokenText.textContent = token() ? 'Token set' : unset;
    tokenButton.classList.toggle('wanted', !token() && !isLetIn());
    tokenMenu.hidden = !isServer;
  };
  const again = (close) => () => {
    close();
    show();
    reload();
  };

  const tokenMenu = menu(tokenButton, 'Token', (panel, close) => {
    if (!token()) return panel.append(...(isLetIn() ? [el('p', {}, accessNotice)] : []), signInForm(again(close)));
    const drop = () => (setToken(''), again(close)());
    panel.append(
      el('p', {}, isTokenUnkept() ? unstoredNotice : 'A token is set. This tab keeps the token until the tab is closed.'),
      button('Remove the token', drop),
    );
  });

  const placeMenu = menu(placeButton, 'Location of the data', (panel, close) =>
    fillPlaces(panel, again(close)),
  );
  host.replaceChildren(placeMenu, tokenMenu);
  onPlace(show);
  onEngineState(show);
  addEventListener('beforeunload', (event) => isForgetful() && event.preventDefault());
  show();
  return show;
}

/** Describes how long this browser keeps the data, and which tabs share the data. */
export function storageText() {
  if (isKept()) {
    return isShared()
      ? 'The data survives a reload, and all tabs share it.'
      : 'The data survives a reload. Only one tab at a time can use it.';
  }
  return isShared()
    ? 'All tabs share the data. Closing or reloading the last tab deletes the data.'
    : 'Only this tab has the data. Closing or reloading this page deletes it.';
}

function fillPlaces(panel, done) {
  const wrong = errorAlert();
  const attempt = (work) => () =>
    wrong.attempt(async () => {
      await work();
      done();
    });
  const move = async (place) => {
    await moveTo(place);
    // The databases differ between the two places.
    change({ db: '' });
    say(place === 'server' ? 'The console now uses the server' : 'The console now uses the database in this browser');
  };
  const one = (place, label) =>
    button(label, attempt(() => move(place)), {
      class: 'choice',
      'aria-pressed': String(currentPlace() === place),
    });
  const keep = el('input', { type: 'checkbox', checked: isKept(), on: { change: keepOrNot } });
  const storageNote = el('p', { class: 'faint' }, storageText());
  async function keepOrNot() {
    await wrong.attempt(() => setKept(keep.checked));
    keep.checked = isKept();
    storageNote.textContent = storageText();
  }
  const away = currentUnstored();
  const notStored = away && [
    el('p', { class: 'wrong' }, `${away.replace(/\.$/, '')}. Close this page only after the data is stored: unstored data is lost.`),
    button('Store the data now', attempt(storeNow)),
  ];
  panel.append(
    isStatic
      ? el('p', {}, 'The database runs in this page, without a server.')
      : el(
          'div',
          { class: 'choices' },
          one('server', `The server, ${location.host}`),
          one('browser', 'This browser, without a server'),
        ),
    wrong.element,
    ...(currentPlace() === 'browser'
      ? [
          ...(notStored ?? []),
          el('label', { class: 'check' }, keep, 'Keep the data in this browser'),
          storageNote,
          button('Delete the data', attempt(forget)),
        ]
      : [
          el(
            'p',
            { class: 'faint' },
            'The database can also run in this page, without a server. The data then stays in this browser.',
          ),
        ]),
  );
}
