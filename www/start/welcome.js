// The page that is displayed before the first result.

import { forgetSchema, measurements } from '../api/schema.js';
import { currentOutage, currentPlace, engineTrouble, isKept, canQuery, setKept } from '../api/transport.js';
import { button, el, errorAlert } from '../dom.js';
import { quoted } from '../influxql/statements.js';
import { quoted as sqlQuoted } from '../sql/words.js';
import { change, current } from '../state.js';
import { loadSample, sampleDatabase, suggestions } from './sample.js';
import { storageText } from '../session.js';
import { signInForm } from './sign_in.js';
import { showEngineTrouble, showOutage, showStartPage } from './trouble.js';

const origin = el(
  'p',
  { class: 'faint' },
  'Daily weather of Seattle and New York, 2012 to 2015: 2,922 points, 32 KB. ',
  'NOAA Climate Data Online, public domain, as collected by vega-datasets.',
);

/**
 * Fills the start page. Its contents depend on the state: no token, no data, or data without a
 * query.
 */
export async function welcome(host, { names, ask, reload }) {
  if (currentOutage()) return showOutage(host, currentOutage(), reload);
  if (!canQuery()) return signInFirst(host, reload);
  if (currentPlace() === 'browser' && engineTrouble())
    return showEngineTrouble(host, engineTrouble(), reload);
  const all = await names();
  if (all.length === 0) return showEmptyStart(host, { names, ask, reload });
  if (current().db === sampleDatabase) return showSampleStart(host, ask);
  showStartPage(
    host,
    'Run a query',
    await generic(ask),
    all.includes(sampleDatabase) ? null : sampleButton({ names, ask, reload }, host),
  );
}

function showSampleStart(host, ask) {
  showStartPage(
    host,
    'The sample data is loaded',
    el('p', {}, 'Example queries:'),
    list(suggestions, ask),
    origin.cloneNode(true),
  );
}

function signInFirst(host, reload) {
  const advice = el(
    'p',
    {},
    'Use the admin token, or a token from your administrator. ',
    el('code', {}, 'npm start'),
    ' prints its admin token.',
  );
  showStartPage(host, 'Enter a token to start', advice, signInForm(reload));
}

function showEmptyStart(host, context) {
  showStartPage(
    host,
    'The database is empty',
    el('p', {}, 'Load the sample data, write your own data, or connect a client such as Telegraf.'),
    currentPlace() === 'browser' && !isKept() ? notKept() : null,
    el(
      'div',
      { class: 'row' },
      sampleButton(context, host, 'primary'),
      button('Write data', () => change({ view: 'write' })),
      button('Connect a client', () => change({ view: 'connect' })),
    ),
    origin,
  );
}

/** Warns that written data will be lost, and offers to store the data. */
function notKept() {
  const wrong = errorAlert();
  const keep = async () => {
    await setKept(true);
    notice.remove();
  };
  const notice = el(
    'div',
    { class: 'notice row' },
    el('p', {}, 'The database runs in this browser, and its data is not stored. ', storageText()),
    button('Keep the data in this browser', () => wrong.attempt(keep)),
    wrong.element,
  );
  return notice;
}

function sampleButton(context, host, kind = '') {
  const wrong = errorAlert();
  const load = async () => {
    await loadSample();
    forgetSchema();
    // The change of the database also updates the start page.
    change({ db: sampleDatabase });
    await welcome(host, context);
    /** @type {HTMLElement | null} */ (document.querySelector('.suggestions button'))?.focus();
    context.reload({ keep: true });
  };
  const clicked = async () => {
    made.disabled = true;
    made.lastChild.textContent = 'Loading …';
    await wrong.attempt(load);
    made.disabled = false;
    made.lastChild.textContent = 'Load sample data';
  };
  const made = button('Load sample data', clicked, { class: kind });
  return el('div', {}, made, wrong.element);
}

const list = (questions, ask) =>
  el(
    'ul',
    { class: 'suggestions' },
    questions.map((one) => {
      const { title, query, view, range, db, language = 'influxql' } = one;
      const chosen = () => {
        change({ language, query, view, range, db });
        ask(query);
      };
      const parts = [el('strong', {}, title), el('code', {}, query.replace(/\n/g, ' '))];
      return el('li', {}, button(parts, chosen));
    }),
  );

/** Returns queries for any database, in the current language. */
async function generic(ask) {
  const { db, language } = current();
  const isSql = language === 'sql';
  const some = db ? await measurements(db).catch(() => []) : [];
  const all = { view: 'table', range: 'all', db, language };
  const questions = some.slice(0, 4).map((name) => ({
    ...all,
    title: `Newest points of ${name}`,
    query: `SELECT * FROM ${(isSql ? sqlQuoted : quoted)(name)} ORDER BY time DESC LIMIT 100`,
  }));
  const last = isSql
    ? { ...all, title: 'List of the tables', query: 'SHOW TABLES' }
    : { ...all, title: 'List of the databases', query: 'SHOW DATABASES' };
  return list([...questions, last], ask);
}
