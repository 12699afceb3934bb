// The query editor. It is a plain text area until CodeMirror is loaded.

import { schemaOf } from '../api/schema.js';
import { sqlFunctions } from '../api/sql.js';
import { el } from '../dom.js';
import { change, current, onChange } from '../state.js';
import { languages, currentLanguage } from './languages.js';

/** The maximum time in milliseconds that a click waits for the parser. */
const patience_ms = 2000;

/**
 * Returns the editor's functions, which are the same for the text area and for CodeMirror.
 * Ctrl-Enter calls `run()`.
 */
export function queryEditor(run) {
  const area = el('textarea', {
    spellcheck: false,
    rows: 5,
    placeholder: 'SELECT … FROM …',
    value: current().query,
    on: {
      input: () => change({ query: area.value }),
      keydown: (event) => {
        if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
        event.preventDefault();
        run();
      },
    },
  });
  const element = el('div', { class: 'editor' }, area);
  let inner = plain(area);
  inner.setLanguage(current().language);
  onChange(({ query, language }, before) => {
    inner.setText(query);
    if (language !== before.language) inner.setLanguage(language);
  });
  load(element, area, run).then(
    (made) => (inner = made),
    () => {},
  );
  return {
    element,
    /** Inserts an item of the explorer into the query (`put` in `influxql/put.js`). */
    async put(item) {
      const { put, tried } = currentLanguage();
      await tried(patience_ms);
      const { text, cursor } = put(current().query, inner.selected(), item);
      inner.setText(text, cursor);
      change({ query: text });
      inner.focus();
    },
    selected: () => inner.selected(),
    mark: (places) => inner.mark(places),
    goTo: (offset) => inner.goTo(offset),
    focus: () => inner.focus(),
  };
}

/** The module of each language contains colours and completion. */
const parts = {
  influxql: () => import('../editor/influxql.js'),
  sql: () => import('../editor/sql.js'),
};

const schema = () => {
  const { db } = current();
  return { ...schemaOf(db), functions: () => sqlFunctions(db) };
};

async function load(element, area, run) {
  const { language } = current();
  const [{ makeQueryEditor }, first] = await Promise.all([import('../editor/query.js'), parts[language]()]);
  const host = el('div', { class: 'editor-host' });
  const hadFocus = document.activeElement === area;
  const made = makeQueryEditor({
    host,
    text: current().query,
    language: first.language(schema),
    changed: (query) => change({ query }),
    run,
  });
  const setLanguage = async (name) => {
    const part = await parts[name]();
    // The user may have selected another language while the module was loading.
    if (name === current().language) made.setLanguage(part.language(schema));
  };
  if (current().language !== language) setLanguage(current().language);
  area.replaceWith(host);
  if (hadFocus) made.focus();
  return { ...made, setLanguage };
}

function plain(area) {
  return {
    setText(text, cursor) {
      if (text !== area.value) area.value = text;
      if (cursor !== undefined) area.setSelectionRange(cursor, cursor);
    },
    selected: () => ({
      from: area.selectionStart,
      to: area.selectionEnd,
      text: area.value.slice(area.selectionStart, area.selectionEnd),
    }),
    mark: (_) => {},
    goTo: (offset) => (area.focus(), area.setSelectionRange(offset, offset)),
    focus: () => area.focus(),
    setLanguage: (name) => area.setAttribute('aria-label', `${languages[name].label} query`),
  };
}
