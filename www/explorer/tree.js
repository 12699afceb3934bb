// A tree of the database's contents. A branch is loaded when the user opens it.

import * as schema from '../api/schema.js';
import { currentOutage, canQuery } from '../api/transport.js';
import { button, el, icon } from '../dom.js';
import { change, current, onChange } from '../state.js';
import { onScreen } from './on_screen.js';

const note = (text) => el('li', { class: 'faint tree-note' }, text);

/**
 * The maximum time for which a new tree waits for its open branches before it replaces the old
 * tree.
 */
const patience_ms = 3000;

/** The branches that the user has opened or closed, by path. */
const opened = new Map();

/**
 * Returns a line of the tree, with the lines below it. `path` identifies the line. `detail` is a
 * text next to the name, or a function that loads the text when the line becomes visible. `open()`
 * returns the lines below this line, or a promise. The property `ready` resolves when these lines
 * are loaded.
 *
 * @typedef {HTMLLIElement & { ready?: Promise<void> }} Line
 * @param {{
 *   path: (string | null)[], name: string, kind: string, title?: string, isOpen?: boolean,
 *   detail?: string | (() => Promise<string>), chosen: () => void, open?: () => Line[] |
 * Promise<Line[]>,
 * }} parts
 */
function branch({ path, name, kind, detail, chosen, open, isOpen = false, title }) {
  const side = el('span', { class: 'detail' }, typeof detail === 'string' ? detail : '');
  if (typeof detail === 'function') {
    onScreen(side, async () => (side.textContent = await detail()));
  }
  const label = button(name, chosen, { class: `name ${kind}`, title: title ?? '' });
  const beneath = el('ul', { hidden: true });
  const expander = el(
    'button',
    { type: 'button', class: 'twist', 'aria-label': `Open ${name}`, 'aria-expanded': 'false' },
    icon('chevron'),
  );
  const key = JSON.stringify(path);
  const show = async (isShown) => {
    opened.set(key, isShown);
    expander.setAttribute('aria-expanded', String(isShown));
    beneath.hidden = !isShown;
    if (!isShown) return;
    beneath.replaceChildren(note('Loading …'));
    try {
      const lines = await open();
      beneath.replaceChildren(...(lines.length ? lines : [note('No entries.')]));
      await Promise.all(lines.map(({ ready }) => ready));
    } catch (error) {
      beneath.replaceChildren(note(error.message));
    }
  };
  expander.addEventListener('click', () => show(beneath.hidden));
  const item = el(
    'li',
    {},
    el('div', { class: 'line' }, open ? expander : el('i', { class: 'twist' }), label, side),
    open ? beneath : null,
  );
  if (open && (opened.get(key) ?? isOpen)) item.ready = show(true);
  return item;
}

const count = (number, word) => `${number.toLocaleString('en')} ${word}${number === 1 ? '' : 's'}`;

/**
 * Creates the tree. A click on a name calls `put(item)`, which inserts the name into the query
 * (`influxql/put.js`).
 */
export function tree(put) {
  const element = el('ul', { class: 'tree', 'aria-label': 'Databases' });
  let filling = 0;
  onChange((now, before) => now.db !== before.db && markChosen());

  const putting = (db, item) => () => {
    if (db !== current().db) change({ db });
    put(item);
  };

  function markChosen() {
    for (const item of element.children) {
      item.classList.toggle('chosen', item.dataset.db === current().db);
    }
  }

  const database = (db) => {
    const item = branch({
      path: [db],
      name: db,
      kind: 'db',
      title: 'Select this database',
      chosen: () => change({ db }),
      isOpen: db === current().db,
      open: async () => {
        const all = await schema.policies(db);
        return all.map((policy) => policyBranch(db, policy));
      },
    });
    item.dataset.db = db;
    return item;
  };

  const policyBranch = (db, { name, duration, isDefault }) =>
    branch({
      path: [db, name],
      name,
      kind: 'policy',
      isOpen: isDefault,
      detail: duration === '0s' ? 'no expiry' : duration.replace(/(h)0m0s$/, '$1'),
      chosen: putting(db, { kind: 'policy', name }),
      open: async () =>
        (await schema.measurements(db, name)).map((m) =>
          measurement(db, isDefault ? null : name, name, m),
        ),
    });

  const measurement = (db, prefix, policy, name) =>
    branch({
      path: [db, policy, name],
      name,
      kind: 'measurement',
      detail: async () =>
        count(await schema.seriesCount(db, name, policy), 'series').replace('seriess', 'series'),
      chosen: putting(db, { kind: 'measurement', name, measurement: name, policy: prefix }),
      open: async () => {
        const [tags, fields] = await Promise.all([
          schema.tags(db, name, policy),
          schema.fields(db, name, policy),
        ]);
        return [
          ...tags.map((tag) => tagBranch(db, policy, { tag, measurement: name, policy: prefix })),
          ...fields.map(([field, type]) =>
            branch({
              path: [db, policy, name, 'field', field],
              name: field,
              kind: 'field',
              detail: type,
              chosen: putting(db, { kind: 'field', name: field, measurement: name, policy: prefix }),
            }),
          ),
        ];
      },
    });

  const tagBranch = (db, policy, { tag, ...place }) =>
    branch({
      path: [db, policy, place.measurement, 'tag', tag],
      name: tag,
      kind: 'tag',
      detail: async () =>
        `tag, ${count(await schema.valueCount(db, place.measurement, tag, policy), 'value')}`,
      chosen: putting(db, { kind: 'tag', name: tag, ...place }),
      open: async () =>
        (await schema.values(db, place.measurement, tag, policy)).map((value) =>
          branch({
            path: [db, policy, place.measurement, tag, value],
            name: value,
            kind: 'value',
            chosen: putting(db, { kind: 'value', name: value, tag, ...place }),
          }),
        ),
    });

  return {
    element,
    /** Open branches remain open. The old tree remains visible until the new tree is complete. */
    async fill(names) {
      filling += 1;
      const mine = filling;
      const empty = canQuery() ? 'No database yet.' : 'Enter a token to see the databases.';
      const none = currentOutage() ? 'The server does not respond.' : empty;
      const items = names.length ? names.map(database) : [note(none)];
      const late = new Promise((resolve) => setTimeout(resolve, patience_ms));
      if (element.children.length > 0) {
        await Promise.race([Promise.all(items.map(({ ready }) => ready)), late]);
      }
      if (mine !== filling) return;
      element.replaceChildren(...items);
      markChosen();
    },
  };
}
