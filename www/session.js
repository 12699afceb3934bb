// The top right corner: where the data lives, and the token for it.

import { setToken, token } from './api/token.js';
import { currentPlace, forget, isKept, moveTo, setKept } from './api/transport.js';
import { button, el, say } from './dom.js';
import { menu } from './query/menu.js';
import { signInForm } from './start/sign_in.js';
import { change } from './state.js';

/** Fills `host`; `reload()` reads everything anew. Returns what shows the state anew. */
export function sessionCorner(host, reload) {
  const placeButton = button('', null, { class: 'quiet place' });
  const tokenButton = button('', null, { icon: 'key', class: 'quiet' });
  const [placeText, tokenText] = [el('span'), el('span')];
  placeButton.append(el('i', { class: 'dot' }), placeText);
  tokenButton.append(tokenText);

  const show = () => {
    const isServer = currentPlace() === 'server';
    placeText.textContent = isServer ? location.host : 'In this browser';
    placeButton.classList.toggle('local', !isServer);
    tokenText.textContent = token() ? 'Token set' : 'Enter token';
    tokenButton.classList.toggle('wanted', !token());
    tokenMenu.element.hidden = !isServer;
  };
  const again = (close) => () => {
    close();
    show();
    reload();
  };

  const tokenMenu = menu(tokenButton, 'Token', (panel, close) => {
    if (!token()) return panel.append(signInForm(again(close)));
    const drop = () => (setToken(''), again(close)());
    panel.append(
      el('p', {}, 'A token is set. It is kept by this tab until it is closed.'),
      button('Forget it', drop),
    );
  });

  const placeMenu = menu(placeButton, 'Where the data lives', (panel, close) =>
    fillPlaces(panel, again(close)),
  );
  host.replaceChildren(placeMenu.element, tokenMenu.element);
  show();
  return show;
}

function fillPlaces(panel, done) {
  const wrong = el('p', { class: 'wrong', role: 'alert' });
  const move = async (place) => {
    wrong.textContent = '';
    try {
      await moveTo(place);
      // The other place has databases of its own.
      change({ db: '' });
      say(place === 'server' ? 'The server is used' : 'The browser is used');
      done();
    } catch (error) {
      wrong.textContent = error.message;
    }
  };
  const one = (place, label) =>
    button(label, () => move(place), {
      class: 'choice',
      'aria-pressed': String(currentPlace() === place),
    });
  const keep = el('input', { type: 'checkbox', checked: isKept(), on: { change: keepOrNot } });
  async function keepOrNot() {
    wrong.textContent = '';
    try {
      await setKept(keep.checked);
    } catch (error) {
      keep.checked = isKept();
      wrong.textContent = error.message;
    }
  }
  const wipe = async () => {
    await forget();
    done();
  };
  panel.append(
    el(
      'div',
      { class: 'choices' },
      one('server', `The server, ${location.host}`),
      one('browser', 'This browser, without a server'),
    ),
    wrong,
    ...(currentPlace() === 'browser'
      ? [
          el('label', { class: 'check' }, keep, 'Keep the data in this browser'),
          button('Forget the data', wipe),
        ]
      : [
          el(
            'p',
            { class: 'faint' },
            'The whole database also runs inside this page: nothing leaves it.',
          ),
        ]),
  );
}
