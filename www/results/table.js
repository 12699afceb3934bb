// A result as a table: a page of rows at a time, sorted by whichever column is chosen.

import { button, el } from '../dom.js';
import { work } from './client.js';

/** Rows of one page. */
export const pageRows = 100;

/** Shows the tables of `loaded` in `host`; resolves when the first page is there. */
export async function showTables(host, loaded) {
  const { tables } = loaded;
  const body = el('div', { class: 'table-body' });
  Object.assign(shownTable, { loaded, table: 0, sort: null });
  if (tables.length > 1) {
    const picked = ({ target }) => showTable(body, tables, Number(target.value));
    host.replaceChildren(
      el(
        'label',
        { class: 'which' },
        'Table',
        el(
          'select',
          { on: { change: picked } },
          tables.map(({ title, rows }, value) =>
            el('option', { value }, `${title} (${rows} rows)`),
          ),
        ),
      ),
      body,
    );
  } else {
    host.replaceChildren(body);
  }
  if (tables.length > 0) await showTable(body, tables, 0);
}

/** The table of `loaded` that is shown, and how it is sorted, for the download. */
export const shownTable = { loaded: null, table: 0, sort: null };

async function showTable(host, tables, table) {
  const { columns, kinds, rows } = tables[table];
  const view = { from: 0, sort: null };
  const summaries = await work('summary', { table });
  const heads = columns.map((column, index) =>
    headCell(column, kinds[index], summaries[index], () => {
      const isSame = view.sort?.column === index;
      view.sort = { column: index, isDescending: isSame ? !view.sort.isDescending : false };
      view.from = 0;
      show();
    }),
  );
  const body = el('tbody');
  const pager = el('div', { class: 'pager' });
  const show = async () => {
    Object.assign(shownTable, { table, sort: view.sort });
    const texts = await work('page', { table, from: view.from, count: pageRows, sort: view.sort });
    body.replaceChildren(
      ...texts.map((row) =>
        el(
          'tr',
          {},
          row.map((text, index) => cell(text, kinds[index])),
        ),
      ),
    );
    heads.forEach((head, index) => {
      const isSorted = view.sort?.column === index;
      const way = view.sort?.isDescending ? 'descending' : 'ascending';
      head.setAttribute('aria-sort', isSorted ? way : 'none');
    });
    showPager(pager, view, rows, show);
  };
  const scroller = el(
    'div',
    { class: 'scroller', tabIndex: 0, role: 'region', 'aria-label': 'Rows' },
    el('table', {}, el('thead', {}, el('tr', {}, heads)), body),
  );
  await show();
  host.replaceChildren(scroller, pager);
}

function headCell(column, kind, summary, sort) {
  return el(
    'th',
    { class: kind, scope: 'col', 'aria-sort': 'none' },
    el('button', { type: 'button', class: 'sort', on: { click: sort } }, column),
    el(
      'dl',
      { class: 'summary' },
      summary.map(({ label, value }) => el('div', {}, el('dt', {}, label), el('dd', {}, value))),
    ),
  );
}

const cell = (text, kind) =>
  text === null ? el('td', { class: 'null' }, '–') : el('td', { class: kind }, text);

function showPager(pager, view, rows, show) {
  const last = Math.max(0, Math.floor((rows - 1) / pageRows) * pageRows);
  const step = (label, from, isOff) =>
    button(label, () => ((view.from = from), show()), { disabled: isOff, class: 'quiet' });
  const focused = [...pager.children].findIndex((child) => child === document.activeElement);
  const to = Math.min(view.from + pageRows, rows);
  pager.replaceChildren(
    step('First', 0, view.from === 0),
    step('Previous', view.from - pageRows, view.from === 0),
    el(
      'span',
      {},
      `${(rows ? view.from + 1 : 0).toLocaleString('en')}–${to.toLocaleString('en')} of ${rows.toLocaleString('en')}`,
    ),
    step('Next', view.from + pageRows, view.from >= last),
    step('Last', last, view.from >= last),
  );
  pager.hidden = rows <= pageRows;
  if (focused >= 0 && !pager.children[focused].disabled) pager.children[focused].focus();
}
