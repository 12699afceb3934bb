// The query view: what is asked, when, and how it is run.

import { button, copyFrom, el, icon } from '../dom.js';
import { shareAddress } from '../address.js';
import { databases } from '../api/schema.js';
import { mayAsk } from '../api/transport.js';
import { bounds } from '../influxql/range.js';
import { startLexer } from '../influxql/tokenize.js';
import { resultPanel } from '../results/panel.js';
import { sqlOffer } from '../sql/offer.js';
import { change, current, onChange } from '../state.js';
import { queryEditor } from './editor.js';
import { historyMenu, remember } from './history.js';
import { languageHint, languages, languageSwitch, spoken } from './languages.js';
import { rangePicker } from './range_picker.js';
import { refreshPicker } from './refresh.js';
import { begin, cancel, currentRun, errorOffset, isBusy } from './session.js';

/** How long a run waits for what reads its text here, if the server can do without. */
const patience_ms = 1500;

/** What is said of a text that is not asked by itself. */
const writesSaid = 'This text changes data: only Run runs it.';

/** What a text does, as far as that is known: as `languages` says. */
const effectOf = ({ text, language }) => languages[language].effectOf(text);

const isApple = /Mac|iPhone|iPad/.test(navigator.platform);

/**
 * `{ element, ask, editor, results, runLinked, fillDatabases }`. `changed()` is called when a statement may have
 * changed the schema, `refused()` when the token was not accepted, `start(host, api)` fills an
 * empty result.
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
  /** What was asked last: its text, and where that begins in the editor. */
  let last = null;
  /** The text that somebody ran, or that a link brought. */
  let known = null;
  /** What waits for the parser: the newest one, but nothing takes the place of Run. */
  let waiting = null;

  /** Runs the selection, or the whole text: the only way to write. Resolves with the result. */
  async function run() {
    const { from, text } = editor.selected();
    const isPart = text.trim() !== '';
    const { view, language, query } = current();
    const what = isPart ? { text, language, offset: from } : { text: query, language, offset: 0 };
    known = query;
    // The tail asks a question of its own.
    if (view === 'tail' && effectOf(what) !== 'selects') change({ view: 'table' });
    const done = await askFor(what, { mayWrite: true });
    if (!done) return;
    keepInHistory(done);
    if (done.started.changes) changed();
  }

  function keepInHistory({ made, started: { text, language, db } }) {
    const outcome = made && !made.errors?.length ? `${Math.round(made.took_ms)} ms` : 'failed';
    remember({ text, language, db, outcome });
  }

  /** Asks once more what was asked last, now or in another range; never what writes. */
  async function again({ quiet = false } = {}) {
    if (!last) return;
    if (effectOf(last) !== 'writes') await askFor(last);
    else if (!quiet) tell([writesSaid]);
  }

  /** Asks for a text of the page's own making, or one that a link brought, unless it writes. */
  async function askOnly(text) {
    known = text;
    const what = { text, language: current().language, offset: 0 };
    await spoken().tried(patience_ms);
    if (effectOf(what) === 'writes') {
      await results.show();
      tell([writesSaid]);
      return;
    }
    const done = await askFor(what);
    if (done) keepInHistory(done);
  }

  /** `{ made, started }` of a text that was asked, or null. */
  async function askFor(what, { mayWrite = false } = {}) {
    if (!what.text.trim() || (waiting?.mayWrite && !mayWrite)) return null;
    const mine = { mayWrite };
    waiting = mine;
    const isReady = await canBeRead(what);
    if (waiting !== mine) return null;
    waiting = null;
    if (!isReady) return null;
    last = what;
    const { db, range } = current();
    tell([]);
    const started = begin({ ...what, db, range, mayWrite });
    setBusy(true);
    const made = await results.show();
    // What was not sent by now, as no result is in view, is not sent by another view later.
    started.mayWrite = false;
    if (currentRun() === started) setBusy(false);
    return { made, started };
  }

  /** Waits for what reads a text: as long as it takes if a time range has to go into that. */
  async function canBeRead({ text, language }) {
    if (language === 'sql' || (!bounds(current().range, 0) && !text.includes('$'))) {
      await languages[language].tried(patience_ms);
      return true;
    }
    try {
      await startLexer();
      return true;
    } catch (error) {
      tell([`The time range cannot be put into the query, as its parser did not load: ${error.message}`]);
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
    // Not allowed by GET: the server knows that the text writes.
    tell(status === 405 ? [...errors, writesSaid] : errors);
    if (status === 401) refused();
  }

  /** Shows what is wrong, and where the server says that it is. */
  function tell(errors) {
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
      problem.append(button('Go to it', () => editor.goTo(places[0].from), { class: 'link' }));
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
    // What could not be asked before is asked now.
    sqlOffer(() => (tell([]), api.runLinked())),
    problem,
    results.element,
  );
  const api = {
    element,
    ask: askOnly,
    editor,
    results,
    fillDatabases: database.fill,
    /** Asks for what a link brought, or what was run; not for what was only typed. */
    runLinked({ isLink = false } = {}) {
      const { query } = current();
      if (isLink) known = query;
      if (mayAsk() && query.trim() && query === known) return askOnly(query);
      return results.show();
    },
  };
  return api;
}

/** The list of databases, filled by what the token may see. */
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
      names = mayAsk() ? await databases().catch(() => []) : [];
      if (!current().db && names.length > 0) change({ db: names[0] });
      show();
      return names;
    },
  };
}
