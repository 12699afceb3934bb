// The two languages of the query view, and their functions.

import { sqlUnavailableReason } from '../api/sql.js';
import { onEngineState, onPlace } from '../api/transport.js';
import { button, el } from '../dom.js';
import { put as putInfluxql } from '../influxql/put.js';
import * as influxqlRange from '../influxql/range.js';
import * as influxql from '../influxql/statements.js';
import { waitForLexer } from '../influxql/tokenize.js';
import { put as putSql } from '../sql/put.js';
import * as sqlRange from '../sql/range.js';
import { meaningful, wordsOf } from '../sql/words.js';
import { change, current, languageNames, onChange } from '../state.js';

/** The first words of SQL statements whose rows a chart can display. */
const drawn = new Set(['SELECT', 'WITH', 'VALUES', '(']);

/**
 * `effectOf` returns the effect of a text. `isDrawn` returns whether a chart can display the rows.
 * `withRange` restricts the text to a time range. `put` inserts a name from the explorer. `tried`
 * waits for the language's parser. `path` is the API path for queries.
 */
export const languages = {
  influxql: {
    label: 'InfluxQL',
    path: '/query',
    effectOf: influxql.effectOf,
    isDrawn: (text) => influxql.effectOf(text) === 'selects',
    withRange: influxqlRange.withRange,
    put: putInfluxql,
    tried: waitForLexer,
  },
  sql: {
    label: 'SQL',
    path: '/api/v3/query_sql',
    // The server supports no SQL statement that writes.
    effectOf: () => 'selects',
    isDrawn: (text) => drawn.has(meaningful(wordsOf(text))[0]?.upper),
    withRange: sqlRange.withRange,
    put: putSql,
    tried: async () => {},
  },
};

export const currentLanguage = () => languages[current().language];

export function languageSwitch() {
  const choices = languageNames.map((language) =>
    button(languages[language].label, () => change({ language }), { class: 'quiet' }),
  );
  const show = () =>
    choices.forEach((choice, index) =>
      choice.setAttribute('aria-pressed', String(languageNames[index] === current().language)),
    );
  onChange(show);
  show();
  return el('div', { class: 'switch', role: 'group', 'aria-label': 'Language' }, choices);
}

/** Returns a hint if the selected time range does not apply to the text, or an empty string. */
function hint() {
  const { language, query, range } = current();
  // If SQL is not available, another message reports this.
  if (language !== 'sql' || sqlUnavailableReason()) return '';
  if (range === 'all' || !query.trim() || sqlRange.takesRange(query)) return '';
  return 'The query has no $timeFilter, so the time range does not apply: add WHERE $timeFilter.';
}

/** Returns the line with the hint. It is hidden if the hint is empty. */
export function languageHint() {
  const line = el('p', { class: 'notice hint', role: 'status' });
  const show = () => {
    line.textContent = hint();
    line.hidden = line.textContent === '';
  };
  onChange(show);
  onPlace(show);
  onEngineState(show);
  show();
  return line;
}
