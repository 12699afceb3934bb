// The query view. It contains the query and its settings, and runs the query.

import { button, copyFrom, el, icon } from '../dom.js';
import { shareAddress } from '../address.js';
import { databases } from '../api/schema.js';
import { canQuery } from '../api/transport.js';
import { bounds } from '../influxql/range.js';
import { startLexer } from '../influxql/tokenize.js';
import { resultPanel } from '../results/panel.js';
import { sqlOffer } from '../sql/offer.js';
import { change, current, onChange } from '../state.js';
import { queryEditor } from './editor.js';
import { historyMenu, remember } from './history.js';
import { languageHint, languages, languageSwitch, currentLanguage } from './languages.js';
import { rangePicker } from './range_picker.js';
import { refreshPicker } from './refresh.js';
import { begin, cancel, currentRun, errorOffset, isBusy } from './session.js';

/**
 * The maximum time in milliseconds that a run waits for the parser, if the server can run the text
 * without the parser.
 */
const patience_ms = 1500;

/** The notice for a text that changes data. The page does not run such a text automatically. */
const writesNotice = 'This statement changes data: press Run to run it.';

/** Returns null if the effect is unknown. */
const effectOf = ({ text, language }) => languages[language].effectOf(text);

const isApple = /Mac|iPhone|iPad/.test(navigator.platform);

/**
 * Calls `changed()` if a statement may have changed the schema, and `refused()` if the server
 * rejected the token.
 */
export function queryPanel({ changed, refused, start }) {
  const editor = queryEditor(() => run());
  const problem = el('div', { class: 'problem', role: 'alert', hidden: true });
  const database = databaseList();
  const runButton = button('Run', () => (runButton.dataset.busy ? cancel() : run()), {
    icon: 'play',
    class: 'primary',
  });
  runButton.title = isApple ? '⌘ Enter' : 'Ctrl Enter';
  const share = button('Share', () => copyFrom(share, shareAddress()), {
    icon: 'link',
    class: 'quiet',
  });
  const results = resultPanel({
    again: () => again(),
    failed,
    start: (host) => start(host, api),
  });
  /** The last query, with its text and the text's offset in the editor. */
  let last = null;
  /** The last text that the user ran or that a link contained. */
  let known = null;
  /** The newest query that waits. It never replaces a query that the user started with Run. */
  let waiting = null;

  /**
   * Runs the text that the user selected or typed. Only this function may send a statement that
   * writes.
   */
  async function run() {
    const { from, text } = editor.selected();
    const isPart = text.trim() !== '';
    const { view, language, query } = current();
    const what = isPart ? { text, language, offset: from } : { text: query, language, offset: 0 };
    known = query;
    // The tail view creates its own query from the text.
    if (view === 'tail' && effectOf(what) !== 'selects') change({ view: 'table' });
    const done = await runQuery(what, { mayWrite: true });
    if (!done) return;
    keepInHistory(done);
    if (done.started.changes) changed();
  }

  function keepInHistory({ made, started: { text, language, db } }) {
    const outcome = made && !made.errors?.length ? `${Math.round(made.took_ms)} ms` : 'failed';
    remember({ text, language, db, outcome });
  }

  /** Runs the last query again, with the current time range. Never runs a text that writes. */
  async function again({ quiet = false } = {}) {
    if (!last) return;
    if (effectOf(last) !== 'writes') await runQuery(last);
    else if (!quiet) showNotices([writesNotice]);
  }

  /** Runs a text from the page or from a link, unless the text writes. */
  async function runReadOnly(text) {
    known = text;
    const what = { text, language: current().language, offset: 0 };
    await currentLanguage().tried(patience_ms);
    if (effectOf(what) === 'writes') {
      await results.show();
      showNotices([writesNotice]);
      return;
    }
    const done = await runQuery(what);
    if (done) keepInHistory(done);
  }

  /** Resolves to `{ made, started }`, or to null if the query was not run. */
  async function runQuery(what, { mayWrite = false } = {}) {
    if (!what.text.trim() || (waiting?.mayWrite && !mayWrite)) return null;
    const mine = { mayWrite };
    waiting = mine;
    const isReady = await waitForParser(what);
    if (waiting !== mine) return null;
    waiting = null;
    if (!isReady) return null;
    last = what;
    const { db, range } = current();
    showNotices([]);
    const started = begin({ ...what, db, range, mayWrite });
    setBusy(true);
    const made = await results.show();
    // Another view must not send the query later.
    started.mayWrite = false;
    if (currentRun() === started) setBusy(false);
    return { made, started };
  }

  /**
   * Waits for the parser. Has no timeout if the page must insert a time range, because only the
   * parser can do this.
   */
  async function waitForParser({ text, language }) {
    if (language === 'sql' || (!bounds(current().range, 0) && !text.includes('$'))) {
      await languages[language].tried(patience_ms);
      return true;
    }
    try {
      await startLexer();
      return true;
    } catch (error) {
      showNotices([`The time range cannot be added to the query, because the parser did not load: ${error.message}`]);
      return false;
    }
  }

  function setBusy(isRunning) {
    if (isRunning) runButton.dataset.busy = 'yes';
    else delete runButton.dataset.busy;
    runButton.lastChild.textContent = isRunning ? 'Cancel' : 'Run';
    runButton.firstChild.replaceWith(icon(isRunning ? 'stop' : 'play'));
  }

  function failed(errors, status) {
    // Status 405 means that the server rejected a GET request because its text writes.
    showNotices(status === 405 ? [...errors, writesNotice] : errors);
    if (status === 401) refused();
  }

  /** Also marks the positions of the errors in the text. */
  function showNotices(errors) {
    problem.hidden = errors.length === 0;
    problem.replaceChildren(...errors.map((text) => el('p', {}, text)));
    const made = currentRun();
    const offsets = made
      ? errors.map((text) => errorOffset(text, made)).filter((at) => at !== null)
      : [];
    const places = offsets.map((at) => {
      const from = last.offset + at;
      const word = /^[\w"']+|^./.exec(last.text.slice(at))?.[0] ?? ' ';
      return { from, to: from + word.length, message: errors[0] };
    });
    editor.mark(places);
    if (places.length) {
      problem.append(button('Go to the error', () => editor.goTo(places[0].from), { class: 'link' }));
    }
  }

  const keys = el('kbd', {}, isApple ? '⌘↵' : 'Ctrl ↵');
  const element = el(
    'section',
    { class: 'view query', 'aria-label': 'Query' },
    el(
      'div',
      { class: 'toolbar' },
      database.element,
      languageSwitch(),
      rangePicker(() => again()),
      refreshPicker(async () => isBusy() || again({ quiet: true })),
      historyMenu((asked) => (change(asked), editor.focus())),
      share,
      el('span', { class: 'gap' }),
      keys,
      runButton,
    ),
    editor.element,
    languageHint(),
    // After SQL has been loaded, the page clears the error and runs the query.
    sqlOffer(() => (showNotices([]), api.runLinked())),
    problem,
    results.element,
  );
  const api = {
    element,
    ask: runReadOnly,
    editor,
    results,
    fillDatabases: database.fill,
    /** Never runs a text that the user has only typed. */
    runLinked({ isLink = false } = {}) {
      const { query } = current();
      if (isLink) known = query;
      if (canQuery() && query.trim() && query === known) return runReadOnly(query);
      return results.show();
    },
  };
  return api;
}

/** Lists the databases that the token may read. */
function databaseList() {
  const list = el('select', {
    'aria-label': 'Database',
    on: { change: () => change({ db: list.value }) },
  });
  let names = [];
  const show = () => {
    const { db } = current();
    const all = db && !names.includes(db) ? [db, ...names] : names;
    list.replaceChildren(
      el('option', { value: '' }, 'No database'),
      ...all.map((name) => el('option', { value: name }, name)),
    );
    list.value = db;
  };
  onChange((now, before) => now.db !== before.db && show());
  show();
  return {
    element: el('div', { class: 'database' }, icon('database'), list),
    async fill() {
      names = canQuery() ? await databases().catch(() => []) : [];
      if (!current().db && names.length > 0) change({ db: names[0] });
      show();
      return names;
    },
  };
}
