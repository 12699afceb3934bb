// The connect view: settings for clients, their tokens, and the database's limits.

import { currentPlace, onPlace } from '../api/transport.js';
import { button, copyFrom, el } from '../dom.js';
import { createDatabase } from '../influxql/statements.js';
import { current, onChange } from '../state.js';
import { tabList } from '../tabs.js';
import { newToken } from './new_token.js';
import { quotaForm } from './quota_form.js';
import { clients } from './snippets.js';
import { tokenList } from './token_list.js';

export function connectPanel() {
  let chosen = 0;
  /** The displayed token and its resource, or empty strings. */
  let made = { token: '', resource: '' };
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
    // If the token is for one database only, the settings contain that database.
    const own = /[*/]/.test(made.resource) ? '' : made.resource;
    const db = own || current().db || 'mydb';
    const [title, textFor] = clients[chosen];
    code.textContent = textFor(location.origin, db, made.token);
    code.setAttribute('aria-label', title);
    tabs.mark(chosen);
    expiry.replaceChildren(
      'A database that a write creates keeps points for three days. To keep points permanently, first run ',
      el('code', {}, createDatabase(db)),
      '.',
    );
    showPlace();
  };
  const about = el('p', { class: 'faint' });
  const expiry = el('p', { class: 'faint expiry' });
  const showPlace = () => {
    const isServer = currentPlace() === 'server';
    expiry.hidden = !isServer;
    const ofServer = [
      'Settings for ',
      el('code', {}, location.origin),
      made.token ? ', with the new token.' : '. Replace TOKEN with a token.',
    ];
    const ofPage = [
      'Clients cannot connect to the database in this page. ',
      'These settings are for a server: insert the address of the server.',
    ];
    about.replaceChildren(...(isServer ? ofServer : ofPage));
  };
  const list = tokenList();
  onPlace(showPlace);
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
      expiry,
      el('div', { class: 'bar' }, tabs.element, copy),
      code,
    ),
    newToken((token, resource) => {
      made = { token, resource };
      show();
      if (token) list.reload();
    }),
    quotaForm(),
    list.panel,
  );
}
