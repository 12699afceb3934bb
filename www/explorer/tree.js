// What is in the database: a tree whose branches are asked for when they are opened.

import * as schema from '../api/schema.js';
import { token } from '../api/token.js';
import { currentPlace } from '../api/transport.js';
import { button, el, icon } from '../dom.js';
import { quoted, quotedText } from '../influxql/statements.js';
import { change, current, onChange } from '../state.js';

const note = (text) => el('li', { class: 'faint tree-note' }, text);

/**
 * One line of the tree. `detail` is shown beside it, or a promise of that; `chosen()` is called for
 * the name, `open()` gives the lines beneath, or a promise of them.
 */
function branch({ name, kind, detail, chosen, open, isOpen = false, title }) {
  const side = el('span', { class: 'detail' });
  Promise.resolve(detail).then(
    (text) => (side.textContent = text ?? ''),
    () => {},
  );
  const label = button(name, chosen, { class: `name ${kind}`, title: title ?? '' });
  const beneath = el('ul', { hidden: true });
  const twist = el(
    'button',
    { type: 'button', class: 'twist', 'aria-label': `Open ${name}`, 'aria-expanded': 'false' },
    icon('chevron'),
  );
  const show = async (isShown) => {
    twist.setAttribute('aria-expanded', String(isShown));
    beneath.hidden = !isShown;
    if (!isShown) return;
    beneath.replaceChildren(note('Loading …'));
    try {
      const lines = await open();
      beneath.replaceChildren(...(lines.length ? lines : [note('Nothing here.')]));
    } catch (error) {
      beneath.replaceChildren(note(error.message));
    }
  };
  twist.addEventListener('click', () => show(beneath.hidden));
  const item = el(
    'li',
    {},
    el('div', { class: 'line' }, open ? twist : el('i', { class: 'twist' }), label, side),
    open ? beneath : null,
  );
  if (open && isOpen) show(true);
  return item;
}

const count = (number, word) => `${number.toLocaleString('en')} ${word}${number === 1 ? '' : 's'}`;

/** `{ element, fill }`. `insert(text)` puts a name into the query. */
export function tree(insert) {
  const element = el('ul', { class: 'tree', 'aria-label': 'Databases' });
  onChange((now, before) => now.db !== before.db && markChosen());

  function markChosen() {
    for (const item of element.children) {
      item.classList.toggle('chosen', item.dataset.db === current().db);
    }
  }

  const database = (db) => {
    const item = branch({
      name: db,
      kind: 'db',
      title: 'Ask this database',
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
      name,
      kind: 'policy',
      isOpen: isDefault,
      detail: duration === '0s' ? 'for ever' : duration.replace(/(h)0m0s$/, '$1'),
      chosen: () => insert(`${quoted(name)}.`),
      open: async () =>
        (await schema.measurements(db, name)).map((m) =>
          measurement(db, isDefault ? null : name, name, m),
        ),
    });

  const measurement = (db, prefix, policy, name) =>
    branch({
      name,
      kind: 'measurement',
      detail: schema
        .seriesCount(db, name, policy)
        .then((all) => count(all, 'series').replace('seriess', 'series')),
      chosen: () => {
        const source = [prefix, name].filter(Boolean).map(quoted).join('.');
        if (db !== current().db) change({ db });
        insert(current().query.trim() ? source : `SELECT * FROM ${source}`);
      },
      open: async () => {
        const [tags, fields] = await Promise.all([
          schema.tags(db, name, policy),
          schema.fields(db, name, policy),
        ]);
        return [
          ...tags.map((tag) => tagBranch(db, policy, name, tag)),
          ...fields.map(([field, type]) =>
            branch({
              name: field,
              kind: 'field',
              detail: type,
              chosen: () => insert(quoted(field)),
            }),
          ),
        ];
      },
    });

  const tagBranch = (db, policy, m, tag) =>
    branch({
      name: tag,
      kind: 'tag',
      detail: schema.valueCount(db, m, tag, policy).then((all) => `tag, ${count(all, 'value')}`),
      chosen: () => insert(quoted(tag)),
      open: async () =>
        (await schema.values(db, m, tag, policy)).map((value) =>
          branch({ name: value, kind: 'value', chosen: () => insert(quotedText(value)) }),
        ),
    });

  return {
    element,
    /** Lists the databases anew. */
    fill(names) {
      const none =
        token() || currentPlace() === 'browser'
          ? 'No database yet.'
          : 'Enter a token to see what is here.';
      element.replaceChildren(...(names.length ? names.map(database) : [note(none)]));
      markChosen();
    },
  };
}
