// The two languages of the query view: what each of them is asked about a text.

import { whyNoSql } from '../api/sql.js';
import { onEngineState, onPlace } from '../api/transport.js';
import { button, el } from '../dom.js';
import { put as putInfluxql } from '../influxql/put.js';
import * as influxqlRange from '../influxql/range.js';
import * as influxql from '../influxql/statements.js';
import { lexerTried } from '../influxql/tokenize.js';
import { put as putSql } from '../sql/put.js';
import * as sqlRange from '../sql/range.js';
import { meaningful, wordsOf } from '../sql/words.js';
import { change, current, languageNames, onChange } from '../state.js';

/** Words with which a statement of SQL begins whose rows may be drawn. */
const drawn = new Set(['SELECT', 'WITH', 'VALUES', '(']);

/**
 * What a text does (`effectOf`: as `influxql/statements.js`), whether its rows may be drawn, the same
 * text in a range of time, a name put into it, what waits until it can be read, and the path that is asked.
 */
export const languages = {
  influxql: {
    label: 'InfluxQL',
    path: '/query',
    effectOf: influxql.effectOf,
    isDrawn: (text) => influxql.effectOf(text) === 'selects',
    withRange: influxqlRange.withRange,
    put: putInfluxql,
    tried: lexerTried,
  },
  sql: {
    label: 'SQL',
    path: '/api/v3/query_sql',
    // The server has no statement of SQL that writes.
    effectOf: () => 'selects',
    isDrawn: (text) => drawn.has(meaningful(wordsOf(text))[0]?.upper),
    withRange: sqlRange.withRange,
    put: putSql,
    tried: async () => {},
  },
};

/** The language that is written in now. */
export const spoken = () => languages[current().language];

/** The switch between the languages. */
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

/** Why what is written will not do what the page looks like; or the empty text. */
function hint() {
  const { language, query, range } = current();
  // Where there is no SQL, that is said in the place of this.
  if (language !== 'sql' || whyNoSql()) return '';
  if (range === 'all' || !query.trim() || sqlRange.takesRange(query)) return '';
  return 'The time range goes where $timeFilter stands in SQL; this text has none, so all times are asked.';
}

/** A line with what has to be known of the language; hidden while there is nothing. */
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
