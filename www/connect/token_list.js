// The list of tokens, with the day of the last use and a button that revokes the token.

import { textOf } from '../api/query.js';
import { onToken } from '../api/token.js';
import { currentPlace, canQuery, onPlace, request } from '../api/transport.js';
import { button, el, say } from '../dom.js';
import { current, onChange } from '../state.js';

const path = '/api/v3/configure/token';
/** The number of tokens on a page of the list. */
const pageRows = 50;

/** Returns the date in a timestamp such as `2026-11-22T…`. */
const day = (time) => time?.slice(0, 10);

const mayOf = ({ permissions }) =>
  permissions
    .map(({ actions, resource_identifier: [resource] }) => `${actions.join(' and ')} ${resource}`)
    .join(', ');

/** Returns `{ panel, reload }`. */
export function tokenList() {
  const rows = el('tbody');
  const said = el('p', { class: 'faint', 'aria-live': 'polite' });
  let after = null;
  const more = button('Show more', () => void load(after), { hidden: true });
  const headings = ['Name', 'Permissions', 'Created', 'Expires', 'Last used (UTC)', ''];
  const table = el(
    'table',
    { class: 'tokens', hidden: true },
    el('thead', {}, el('tr', {}, ...headings.map((text) => el('th', { scope: 'col' }, text)))),
    rows,
  );
  const panel = el(
    'section',
    { class: 'panel whole', 'aria-label': 'Tokens' },
    el('h2', {}, 'Tokens'),
    said,
    el('div', { class: 'scrolled' }, table),
    more,
  );
  /** Loads the page after the token with the number `from`, or the first page for null. */
  async function load(from) {
    try {
      const response = await request(`${path}?limit=${pageRows}&after=${from ?? 0}`, {
        cache: 'no-store',
      });
      const shown = JSON.parse(await textOf(response)).map((token) => row(token, said));
      if (from === null) rows.replaceChildren(...shown);
      else rows.append(...shown);
      after = response.headers.get('x-tidemark-next');
      said.textContent = rows.children.length > 0 ? '' : 'No tokens exist yet.';
    } catch (error) {
      rows.replaceChildren();
      after = null;
      said.textContent = `The tokens cannot be listed: ${error.message}`;
    }
    more.hidden = after === null;
    table.hidden = rows.children.length === 0;
  }
  const reload = () => {
    panel.hidden = currentPlace() !== 'server';
    if (!panel.hidden && current().view === 'connect' && canQuery()) void load(null);
  };
  onChange((now, before) => now.view !== before.view && reload());
  onToken(reload);
  onPlace(reload);
  reload();
  return { panel, reload };
}

/** Returns the row of a token. `said` displays whether the token was revoked. */
function row(token, said) {
  const { name, created_at: made, expiry, last_used: used } = token;
  let asked = false;
  const revokeButton = button('Revoke', async () => {
    // A second click confirms the revocation.
    if (!asked) {
      asked = true;
      revokeButton.lastChild.textContent = 'Revoke permanently';
      revokeButton.classList.add('danger');
      return;
    }
    revokeButton.disabled = true;
    said.textContent = await revoke(name, () => line.remove());
    say(said.textContent);
    revokeButton.disabled = false;
  });
  revokeButton.setAttribute('aria-label', `Revoke ${name}`);
  const line = el(
    'tr',
    {},
    el('th', { scope: 'row' }, name),
    el('td', {}, mayOf(token)),
    el('td', {}, day(made)),
    el('td', {}, day(expiry) ?? 'never'),
    el('td', {}, used ?? 'not yet'),
    el('td', {}, revokeButton),
  );
  return line;
}

/** Resolves to a message. Calls `gone` on success. */
async function revoke(name, gone) {
  try {
    const response = await request(`${path}?${new URLSearchParams({ token_name: name })}`, {
      method: 'DELETE',
    });
    const text = await textOf(response);
    gone();
    if (response.status !== 202) return `${name} is revoked everywhere.`;
    const { remaining } = JSON.parse(text);
    return `${name} is revoked; ${remaining} databases have not been notified yet. The server continues to notify them.`;
  } catch (error) {
    return `${name} is not revoked: ${error.message}`;
  }
}
