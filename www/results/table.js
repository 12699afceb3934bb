// Displays a result as a table with pages. The user can sort it by a column.

import { button, el, entry } from '../dom.js';
import { work } from './client.js';

export const pageRows = 100;

/**
 * Displays the tables of a result. If `key` is the same as for the previous result, keeps the
 * table, sort order, page and scroll position.
 */
export async function showTables(host, loaded, key) {
  const { tables } = loaded;
  const isSame = shownTable.key === key && shownTable.table < tables.length;
  Object.assign(shownTable, isSame ? {} : fresh(), { loaded, key });
  const body = el('div', { class: 'table-body' });
  // The old table remains visible until the new table is ready.
  if (tables.length > 0) await showTable(body, tables, shownTable.table);
  const picked = ({ target }) => {
    Object.assign(shownTable, fresh(), { loaded, key, table: Number(target.value) });
    return showTable(body, tables, shownTable.table);
  };
  const which = el(
    'select',
    { on: { change: picked } },
    tables.map(({ title, rows }, value) => el('option', { value }, `${title} (${rows} rows)`)),
  );
  which.value = String(shownTable.table);
  const scrolled = host.querySelector('.scroller')?.scrollTop ?? 0;
  const focused = [...host.querySelectorAll('.sort')].indexOf(document.activeElement);
  const label = tables.length > 1 ? [el('label', { class: 'which' }, 'Table', which)] : [];
  host.replaceChildren(...label, body);
  const scroller = body.querySelector('.scroller');
  if (!scroller || !isSame) return;
  scroller.scrollTop = scrolled;
  body.querySelectorAll('.sort')[focused]?.focus();
}

const fresh = () => ({ loaded: null, key: null, table: 0, columns: '', from: 0, sort: null });

/** Downloads and repeated queries use this state. */
export const shownTable = fresh();

async function showTable(host, tables, table) {
  const { columns, kinds, rows } = tables[table];
  const view = shownTable;
  if (view.columns !== columns.join()) Object.assign(view, { from: 0, sort: null });
  view.columns = columns.join();
  view.from = Math.min(view.from, lastPage(rows));
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
    const texts = await work('page', { table, from: view.from, count: pageRows, sort: view.sort });
    body.replaceChildren(
      ...texts.map((row) => el('tr', {}, row.map((text, index) => cell(text, kinds[index])))),
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

/** Returns the index of the last page's first row. */
const lastPage = (rows) => Math.max(0, Math.floor((rows - 1) / pageRows) * pageRows);

function headCell(column, kind, summary, sort) {
  return el(
    'th',
    { class: kind, scope: 'col', 'aria-sort': 'none' },
    button(column, sort, { class: 'sort' }),
    el('dl', { class: 'summary' }, summary.map(({ label, value }) => entry(label, value))),
  );
}

/** Returns a cell of the table. Null is displayed as a dash. */
export const cell = (text, kind) =>
  text === null ? el('td', { class: 'null' }, '–') : el('td', { class: kind }, text);

function showPager(pager, view, rows, show) {
  const last = lastPage(rows);
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
