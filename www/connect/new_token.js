// The form that creates a token for one database and displays the token once.

import { textOf } from '../api/query.js';
import { request } from '../api/transport.js';
import { button, copyFrom, el } from '../dom.js';
import { current, onChange } from '../state.js';

const lasting = [
  ['', 'Does not expire'],
  ['86400', 'A day'],
  ['2592000', '30 days'],
  ['31536000', 'A year'],
];

function tokenRequest({ name, resource, actions, expiry }) {
  return {
    token_name: name,
    ...(expiry ? { expiry_secs: Number(expiry) } : {}),
    permissions: [{ resource_type: 'db', resource_identifier: [resource], actions }],
  };
}

/**
 * Calls `shown(token, resource)` when a token is displayed, and with empty strings when it is
 * hidden.
 */
export function newToken(shown) {
  const name = el('input', { required: true, autocomplete: 'off', placeholder: 'greenhouse' });
  const resource = el('input', {
    required: true,
    autocomplete: 'off',
    value: current().db,
    placeholder: 'db, db/policy or *',
  });
  const boxes = ['read', 'write', 'metrics'].map((action) =>
    el('input', { type: 'checkbox', value: action, checked: action !== 'metrics' }),
  );
  const expiry = el(
    'select',
    {},
    lasting.map(([value, label]) => el('option', { value }, label)),
  );
  const answer = el('div', { class: 'answer', 'aria-live': 'polite' });
  const submit = async (event) => {
    event.preventDefault();
    const actions = boxes.filter(({ checked }) => checked).map(({ value }) => value);
    const asked = { name: name.value, resource: resource.value, actions, expiry: expiry.value };
    if (actions.length === 0)
      return answer.replaceChildren(
        el('p', { class: 'wrong' }, 'Choose at least one permission: read, write or metrics.'),
      );
    const token = await make(asked, answer);
    if (token) shown(token, asked.resource);
    else shown('', '');
  };
  onChange((now, before) => {
    if (now.db !== before.db && resource.value === before.db) resource.value = now.db;
    if (now.view !== before.view) {
      answer.replaceChildren();
      shown('', '');
    }
  });
  return el(
    'section',
    { class: 'panel', 'aria-label': 'New token' },
    el('h2', {}, 'Create a token'),
    el(
      'form',
      { class: 'stack', on: { submit } },
      el('label', {}, 'Name', name),
      el('label', {}, 'Database', resource),
      el(
        'fieldset',
        {},
        el('legend', {}, 'Permissions'),
        boxes.map((box) => el('label', { class: 'check' }, box, box.value)),
      ),
      el('label', {}, 'Expiry', expiry),
      el('button', { type: 'submit', class: 'primary' }, 'Create'),
    ),
    answer,
  );
}

/** Resolves to the token, or to undefined after a failure. */
async function make(asked, answer) {
  const init = {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(tokenRequest(asked)),
  };
  try {
    const response = await request('/api/v3/configure/token', init);
    const { token } = JSON.parse(await textOf(response));
    const copy = button('Copy', () => copyFrom(copy, token), { icon: 'copy' });
    answer.replaceChildren(
      el(
        'p',
        { class: 'notice' },
        'Copy the token now, or copy the client settings that contain the token. The server cannot show the token again, because it stores only a hash of the token.',
      ),
      el('div', { class: 'row' }, el('code', { class: 'secret' }, token), copy),
    );
    return token;
  } catch (error) {
    answer.replaceChildren(el('p', { class: 'wrong', role: 'alert' }, error.message));
  }
}
