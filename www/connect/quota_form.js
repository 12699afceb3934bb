// Displays the quotas of the selected database. An administrator can change the quotas.

import { textOf } from '../api/query.js';
import { databases } from '../api/schema.js';
import { onToken } from '../api/token.js';
import { currentPlace, canQuery, onPlace, request } from '../api/transport.js';
import { el, say } from '../dom.js';
import { current, onChange } from '../state.js';

const path = '/api/v3/configure/quota';
const most = String(Number.MAX_SAFE_INTEGER);

const limits = [
  ['points_per_minute', 'Points per minute'],
  ['requests_per_minute', 'Requests per minute'],
  ['cells_per_minute', 'Values that queries read per minute'],
  ['stored_bytes', 'Bytes stored'],
  ['series', 'Series (estimated)'],
];

/** Returns the request that sets the quotas. An empty field means no limit. */
function quotaRequest(db, texts) {
  const set = Object.entries(texts).filter(([, text]) => text.trim() !== '');
  return { db, ...Object.fromEntries(set.map(([name, text]) => [name, Number(text)])) };
}

/** Applies `change` first if it is given. Throws the server's error. */
async function ask(db, change) {
  const init = change
    ? {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(change),
      }
    : { cache: /** @type {const} */ ('no-store') };
  const at = change ? path : `${path}?${new URLSearchParams({ db })}`;
  return JSON.parse(await textOf(await request(at, init))).quota;
}

export function quotaForm() {
  const fields = limits.map(([name, label]) => {
    const input = el('input', { type: 'number', min: '1', max: most, step: '1', placeholder: 'none', name });
    return { name, input, element: el('label', {}, label, input) };
  });
  const heading = el('h2');
  const said = el('p', { class: 'faint', 'aria-live': 'polite' });
  let shown = '';
  // A response that arrives late must not overwrite the user's input.
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
      said.textContent = `The new quotas of ${db} are in effect.`;
      say(said.textContent);
    } catch (error) {
      said.textContent = `The quotas were not changed: ${error.message}`;
    }
  };
  const form = el(
    'form',
    { class: 'stack', on: { submit, input: () => (isEdited = true) } },
    fields.map(({ element }) => element),
    el('button', { type: 'submit' }, 'Set these quotas'),
  );
  const panel = el('section', { class: 'panel', 'aria-label': 'Quotas' }, heading, form, said);
  const reload = async () => {
    const { db, view } = current();
    panel.hidden = currentPlace() !== 'server' || !db;
    if (panel.hidden || view !== 'connect' || !canQuery()) return;
    shown = db;
    heading.textContent = `Quotas of ${db}`;
    fill({});
    said.textContent = '';
    // A link may contain a database that does not exist.
    panel.hidden = !(await databases().catch(() => [])).includes(db);
    if (panel.hidden) return;
    try {
      const quota = await ask(db);
      if (shown === db && !isEdited) fill(quota);
      form.hidden = false;
    } catch (error) {
      form.hidden = true;
      said.textContent = `The quotas cannot be shown: ${error.message}`;
    }
  };
  onChange((now, before) => (now.view !== before.view || now.db !== before.db) && reload());
  onToken(reload);
  onPlace(reload);
  reload();
  return panel;
}
