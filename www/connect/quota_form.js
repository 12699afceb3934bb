// What the chosen database may use: shown, and set by the administrator.

import { errorIn } from '../api/ask.js';
import { databases } from '../api/schema.js';
import { onToken } from '../api/token.js';
import { currentPlace, mayAsk, onPlace, request } from '../api/transport.js';
import { el, say } from '../dom.js';
import { current, onChange } from '../state.js';

const path = '/api/v3/configure/quota';
/** What a JavaScript number holds exactly. */
const most = String(Number.MAX_SAFE_INTEGER);

const limits = [
  ['points_per_minute', 'Points a minute'],
  ['requests_per_minute', 'Requests a minute'],
  ['cells_per_minute', 'Values a minute that queries read'],
  ['stored_bytes', 'Bytes stored'],
  ['series', 'Series, about'],
];

/** The body that sets these limits, as the fields have them: what is empty is without limit. */
export function quotaRequest(db, texts) {
  const set = Object.entries(texts).filter(([, text]) => text.trim() !== '');
  return { db, ...Object.fromEntries(set.map(([name, text]) => [name, Number(text)])) };
}

/** The limits of a database, after `change` if there is one. Throws what is wrong. */
async function ask(db, change) {
  const init = change
    ? {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(change),
      }
    : { cache: /** @type {const} */ ('no-store') };
  const at = change ? path : `${path}?${new URLSearchParams({ db })}`;
  const response = await request(at, init);
  const text = await response.text();
  if (!response.ok) throw new Error(errorIn(text, response.status));
  return JSON.parse(text).quota;
}

/** The form. */
export function quotaForm() {
  const fields = limits.map(([name, label]) => {
    const input = el('input', { type: 'number', min: '1', max: most, step: '1', placeholder: 'none', name });
    return { name, input, element: el('label', {}, label, input) };
  });
  const heading = el('h2');
  const said = el('p', { class: 'faint', 'aria-live': 'polite' });
  let shown = '';
  // What was typed is not replaced by an answer that was on its way meanwhile.
  let isEdited = false;
  const fill = (quota) => {
    for (const { name, input } of fields) input.value = String(quota[name] ?? '');
    isEdited = false;
  };
  const submit = async (event) => {
    event.preventDefault();
    const db = shown;
    const texts = Object.fromEntries(fields.map(({ name, input }) => [name, input.value]));
    try {
      const quota = await ask(db, quotaRequest(db, texts));
      if (db === shown) fill(quota);
      said.textContent = `These limits of ${db} hold from now on.`;
      say(said.textContent);
    } catch (error) {
      said.textContent = `Nothing was changed: ${error.message}`;
    }
  };
  const form = el(
    'form',
    { class: 'stack', on: { submit, input: () => (isEdited = true) } },
    fields.map(({ element }) => element),
    el('button', { type: 'submit' }, 'Set these limits'),
  );
  const panel = el('section', { class: 'panel', 'aria-label': 'Limits' }, heading, form, said);
  const reload = async () => {
    const { db, view } = current();
    panel.hidden = currentPlace() !== 'server' || !db;
    if (panel.hidden || view !== 'connect' || !mayAsk()) return;
    shown = db;
    heading.textContent = `Limits of ${db}`;
    fill({});
    said.textContent = '';
    // A link may name one that is not there.
    panel.hidden = !(await databases().catch(() => [])).includes(db);
    if (panel.hidden) return;
    try {
      const quota = await ask(db);
      if (shown === db && !isEdited) fill(quota);
      form.hidden = false;
    } catch (error) {
      form.hidden = true;
      said.textContent = `They cannot be shown: ${error.message}`;
    }
  };
  onChange((now, before) => (now.view !== before.view || now.db !== before.db) && reload());
  onToken(reload);
  onPlace(reload);
  reload();
  return panel;
}
