// The form for the token. The form clears the field after the server has accepted the token.

import { signIn } from '../api/transport.js';
import { el } from '../dom.js';

const refusals = {
  401: 'The server does not know this token.',
  429: 'Too many failed logins from this address: wait a minute.',
  503: 'The server has no valid ADMIN_TOKEN, or cannot check tokens now. See the log of the server.',
};

/** Calls `done()` after the server has accepted the token. */
export function signInForm(done) {
  const field = el('input', {
    type: 'password',
    autocomplete: 'off',
    required: true,
    spellcheck: false,
  });
  const wrong = el('p', { class: 'wrong', role: 'alert' });
  const submit = async (event) => {
    event.preventDefault();
    const candidate = field.value.trim();
    field.value = '';
    wrong.textContent = '';
    let status;
    try {
      status = await signIn(candidate);
    } catch {
      wrong.textContent = 'The server could not be reached.';
      return;
    }
    if (status === 200) return done();
    wrong.textContent = refusals[status] ?? `The server returned ${status}.`;
    field.focus();
  };
  return el(
    'form',
    { class: 'stack', on: { submit } },
    el('label', {}, 'Token', field),
    wrong,
    el('button', { type: 'submit', class: 'primary' }, 'Use this token'),
    el(
      'p',
      { class: 'faint' },
      'This tab keeps the token until the tab is closed, and sends it only to this server.',
    ),
  );
}
