// Fills the page in. Everything that comes from the server is put there as text, never as markup.

import { curlLines, runQuery } from './query.js';

const byId = (id) => document.getElementById(id);

function element(name, text) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  return made;
}

function row(cell, texts) {
  const made = element('tr');
  made.append(...texts.map((text) => element(cell, text)));
  return made;
}

function tableElement({ title, columns, rows }) {
  const table = element('table');
  const head = element('thead');
  const body = element('tbody');
  head.append(row('th', columns));
  body.append(...rows.map((texts) => row('td', texts)));
  table.append(element('caption', title), head, body);
  return table;
}

function show({ tables, errors }) {
  const failures = errors.map((text) => {
    const made = element('p', text);
    made.className = 'error';
    return made;
  });
  byId('result').replaceChildren(...failures, ...tables.map(tableElement));
  const rows = tables.reduce((sum, table) => sum + table.rows.length, 0);
  byId('status').textContent = errors.length > 0 ? '' : `${rows} rows`;
}

byId('origin').textContent = location.origin;
byId('curl').textContent = curlLines(location.origin).join('\n');
byId('query').addEventListener('submit', async (event) => {
  event.preventDefault();
  byId('status').textContent = 'Running …';
  const form = Object.fromEntries(new FormData(event.target));
  show(await runQuery((...args) => fetch(...args), form));
});
