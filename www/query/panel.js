// The query view: what is asked, when, and how it is run.

import { button, copyFrom, el, icon } from '../dom.js';
import { shareAddress } from '../address.js';
import { databases } from '../api/schema.js';
import { token } from '../api/token.js';
import { currentPlace } from '../api/transport.js';
import { onlyReads, statements } from '../influxql/statements.js';
import { resultPanel } from '../results/panel.js';
import { change, current, onChange } from '../state.js';
import { queryEditor } from './editor.js';
import { historyMenu, remember } from './history.js';
import { rangePicker } from './range_picker.js';
import { refreshPicker } from './refresh.js';
import { begin, cancel, currentRun, errorOffset, isBusy } from './session.js';

const isApple = /Mac|iPhone|iPad/.test(navigator.platform);

/**
 * `{ element, run, editor, fillDatabases }`. `changed()` is called when a statement may have
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
    again: () => run({ whole: true }),
    failed,
    start: (host) => start(host, api),
  });
  let last = null;

  /** Runs the selection, or the whole text. Resolves when the result is shown. */
  async function run({ whole = false, quiet = false } = {}) {
    const selected = editor.selected();
    const isPart = !whole && selected.text.trim() !== '';
    const { db, range, query } = current();
    const text = quiet && last ? last.text : isPart ? selected.text : query;
    if (!text.trim()) return;
    if (!quiet) last = { text, offset: isPart ? selected.from : 0 };
    tell([]);
    const started = begin({ text, db, range });
    setBusy(true);
    const made = await results.show();
    setBusy(false);
    if (quiet) return;
    const outcome = made && !made.errors?.length ? `${Math.round(made.took_ms)} ms` : 'failed';
    remember({ text, db, outcome });
    if (started.changes) changed();
  }

  function setBusy(isBusy) {
    if (isBusy) runButton.dataset.busy = 'yes';
    else delete runButton.dataset.busy;
    runButton.lastChild.textContent = isBusy ? 'Cancel' : 'Run';
    runButton.firstChild.replaceWith(icon(isBusy ? 'stop' : 'play'));
  }

  function failed(errors, status) {
    tell(errors);
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
      rangePicker(() => run({ whole: true })),
      refreshPicker(async () => isBusy() || run({ quiet: true })),
      historyMenu(({ text, db }) => (change({ query: text, db: db ?? '' }), editor.focus())),
      share,
      el('span', { class: 'gap' }),
      keys,
      runButton,
    ),
    editor.element,
    problem,
    results.element,
  );
  const api = {
    element,
    run,
    editor,
    results,
    fillDatabases: database.fill,
    /** Runs what a link brought, if it only reads. */
    runLinked() {
      const { query } = current();
      const mayAsk = token() || currentPlace() === 'browser';
      if (mayAsk && statements(query).length > 0 && onlyReads(query)) return run({ whole: true });
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
      names = await databases().catch(() => []);
      if (!current().db && names.length > 0) change({ db: names[0] });
      show();
      return names;
    },
  };
}
