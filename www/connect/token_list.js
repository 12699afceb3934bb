// The tokens that there are, when each was used last, and the button that revokes one.

import { errorIn } from '../api/ask.js';
import { onToken } from '../api/token.js';
import { currentPlace, mayAsk, onPlace, request } from '../api/transport.js';
import { button, el, say } from '../dom.js';
import { current, onChange } from '../state.js';

const path = '/api/v3/configure/token';
/** Tokens of a page. */
const pageRows = 50;

/** `2026-11-22T…` as its day. */
const day = (time) => time?.slice(0, 10);

/** What a token may, in words. */
export const mayOf = ({ permissions }) =>
  permissions
    .map(({ actions, resource_identifier: [resource] }) => `${actions.join(' and ')} ${resource}`)
    .join(', ');

/** `{ panel, reload }`: the list, and what shows it as it is by now. */
export function tokenList() {
  const rows = el('tbody');
  const said = el('p', { class: 'faint', 'aria-live': 'polite' });
  let after = null;
  const more = button('Show more', () => void load(after), { hidden: true });
  const headings = ['Name', 'May', 'Made', 'Expires', 'Last used (UTC)', ''];
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
  /** The page after the token of this number; null begins anew. */
  async function load(from) {
    try {
      const response = await request(`${path}?limit=${pageRows}&after=${from ?? 0}`, {
        cache: 'no-store',
      });
      const text = await response.text();
      if (!response.ok) throw new Error(errorIn(text, response.status));
      const shown = JSON.parse(text).map((token) => row(token, said));
      if (from === null) rows.replaceChildren(...shown);
      else rows.append(...shown);
      after = response.headers.get('x-tidemark-next');
      said.textContent = rows.children.length > 0 ? '' : 'There are none yet.';
    } catch (error) {
      rows.replaceChildren();
      after = null;
      said.textContent = `They cannot be listed: ${error.message}`;
    }
    more.hidden = after === null;
    table.hidden = rows.children.length === 0;
  }
  const reload = () => {
    panel.hidden = currentPlace() !== 'server';
    if (!panel.hidden && current().view === 'connect' && mayAsk()) void load(null);
  };
  onChange((now, before) => now.view !== before.view && reload());
  onToken(reload);
  onPlace(reload);
  reload();
  return { panel, reload };
}

/** The row of a token; `said` takes what becomes of it. */
function row(token, said) {
  const { name, created_at: made, expiry, last_used: used, secrets = [] } = token;
  let asked = false;
  const revokeButton = button('Revoke', async () => {
    // A second click is meant.
    if (!asked) {
      asked = true;
      revokeButton.lastChild.textContent = 'Revoke for good';
      revokeButton.classList.add('danger');
      return;
    }
    revokeButton.disabled = true;
    said.textContent = await revoke(name, () => line.remove());
    say(said.textContent);
    revokeButton.disabled = false;
  });
  revokeButton.setAttribute('aria-label', `Revoke ${name}`);
  const until = secrets[1]?.expiry;
  const isShared = until !== undefined && Date.parse(until) > Date.now();
  const two = isShared ? `two secrets, the earlier one until ${day(until)}` : null;
  const line = el(
    'tr',
    {},
    el('th', { scope: 'row' }, name),
    el('td', {}, mayOf(token), two && el('p', { class: 'faint' }, two)),
    el('td', {}, day(made)),
    el('td', {}, day(expiry) ?? 'never'),
    el('td', {}, used ?? 'not yet'),
    el('td', {}, revokeButton),
  );
  return line;
}

/** Revokes a token; resolves with what is to be said. `gone` is called once it is. */
async function revoke(name, gone) {
  try {
    const response = await request(`${path}?${new URLSearchParams({ token_name: name })}`, {
      method: 'DELETE',
    });
    const text = await response.text();
    if (!response.ok) throw new Error(errorIn(text, response.status));
    gone();
    if (response.status !== 202) return `${name} is revoked: it is refused everywhere.`;
    const { remaining } = JSON.parse(text);
    return `${name} is revoked; ${remaining} databases have not heard of it yet. It goes on by itself.`;
  } catch (error) {
    return `${name} is not revoked: ${error.message}`;
  }
}
