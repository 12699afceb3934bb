// The connect view: settings for each client, and tokens for them.

import { currentPlace, onPlace } from '../api/transport.js';
import { button, copyFrom, el } from '../dom.js';
import { current, onChange } from '../state.js';
import { tabList } from '../tabs.js';
import { newToken } from './new_token.js';
import { clients } from './snippets.js';

/** The view. */
export function connectPanel() {
  let chosen = 0;
  const code = el('pre', { class: 'snippet', id: 'snippet', role: 'tabpanel', tabIndex: 0 });
  const copy = button('Copy', () => copyFrom(copy, code.textContent), { icon: 'copy' });
  const tabs = tabList(
    'Client',
    clients.map(([title]) => title),
    {
      controls: 'snippet',
      picked: (index) => ((chosen = index), show()),
    },
  );
  const show = () => {
    code.textContent = clients[chosen][2](location.origin, current().db || 'mydb');
    code.setAttribute('aria-label', clients[chosen][0]);
    tabs.mark(chosen);
  };
  const about = el('p', { class: 'faint' });
  const showPlace = () => {
    const ofServer = [
      'Settings for ',
      el('code', {}, location.origin),
      '. Put a token in the place of TOKEN.',
    ];
    const ofPage = [
      'The database in this page has no address that a client could reach: ',
      'these settings are for a server, put its address in.',
    ];
    about.replaceChildren(...(currentPlace() === 'server' ? ofServer : ofPage));
  };
  onPlace(showPlace);
  showPlace();
  onChange((now, before) => now.db !== before.db && show());
  show();
  return el(
    'section',
    { class: 'view connect', 'aria-label': 'Connect' },
    el(
      'section',
      { class: 'panel wide', 'aria-label': 'Client settings' },
      el('h2', {}, 'Connect a client'),
      about,
      el('div', { class: 'bar' }, tabs.element, copy),
      code,
    ),
    newToken(),
  );
}
