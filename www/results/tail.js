// Displays the newest points of a measurement when they arrive.

import { get, textOf } from '../api/query.js';
import { parseExact } from '../api/exact.js';
import { el } from '../dom.js';
import { quoted, statements } from '../influxql/statements.js';
import { languages } from '../query/languages.js';
import { tablesIn } from '../sql/words.js';
import { cell } from './table.js';
import { cellText, tablesOf } from './tables.js';

const every_ms = 1000;

const pointsShown = 50;

const newestOf = (source) => `SELECT * FROM ${source} ORDER BY time DESC LIMIT ${pointsShown}`;

/** Returns an InfluxQL query for all columns of the first table in the text. */
function tailOfSql(text) {
  const [table] = tablesIn(text);
  return table === undefined ? null : newestOf(quoted(table));
}

/**
 * Returns the query of the tail view. It selects all columns of the text's first source, with the
 * newest rows first.
 */
function tailQuery(text) {
  const [first] = statements(text);
  const at = first?.tokens.findIndex(({ upper }) => upper === 'FROM') ?? -1;
  if (at < 0) return null;
  const source = [];
  for (const token of first.tokens.slice(at + 1)) {
    if (
      token.text === '(' ||
      (token.kind === 'word' && /^(WHERE|GROUP|ORDER|LIMIT)$/.test(token.upper))
    )
      break;
    source.push(token.text);
  }
  return source.length ? newestOf(source.join('')) : null;
}

/** The maximum time in milliseconds that the tail view waits for the parser. */
const patience_ms = 10_000;

/** Runs until the returned function is called. */
export function follow(host, { text, language, db }) {
  const state = { isOver: false, timer: null, known: null };
  const q = () => (language === 'sql' ? tailOfSql(text) : tailQuery(text));
  languages[language].tried(patience_ms).then(() => state.isOver || begin(host, q(), db, state));
  return () => {
    state.isOver = true;
    clearTimeout(state.timer);
  };
}

function begin(host, q, db, state) {
  if (!q) {
    host.replaceChildren(
      el(
        'p',
        { class: 'empty' },
        'To see new points, write a query that names a measurement after FROM.',
      ),
    );
    return;
  }
  const status = el('p', { class: 'live' }, el('i', { class: 'dot' }), el('span', {}, 'Loading …'));
  const body = el('div', {
    class: 'scroller',
    tabIndex: 0,
    role: 'region',
    'aria-label': 'Newest points',
  });
  host.replaceChildren(status, body);
  const say = (words) => (status.lastChild.textContent = words);
  const tick = async () => {
    if (!document.hidden) {
      try {
        show(body, await newest(q, db), state);
        say(`Newest ${pointsShown} points, updated every second`);
      } catch (error) {
        say(error.message);
      }
    }
    if (!state.isOver) state.timer = setTimeout(tick, every_ms);
  };
  tick();
}

async function newest(q, db) {
  const text = await textOf(await get(q, { db }));
  const { tables, errors } = tablesOf(parseExact(text));
  if (errors.length) throw new Error(errors[0]);
  return tables[0];
}

function show(host, table, state) {
  if (!table) {
    host.replaceChildren(el('p', { class: 'empty' }, 'No points yet.'));
    state.known = new Set();
    return;
  }
  const keys = table.rows.map((row) => JSON.stringify(row));
  const rows = table.rows.map((row, index) => {
    const isNew = state.known !== null && !state.known.has(keys[index]);
    return el(
      'tr',
      { class: isNew ? 'new' : '' },
      row.map((value, at) => cell(value === null ? null : cellText(value), table.kinds[at])),
    );
  });
  const heads = table.columns.map((column, at) =>
    el('th', { class: table.kinds[at], scope: 'col' }, column),
  );
  state.known = new Set(keys);
  host.replaceChildren(
    el('table', {}, el('thead', {}, el('tr', {}, heads)), el('tbody', {}, rows)),
  );
}
