// The query editor: a plain text area at once, and CodeMirror in its place when it has come.

import { schemaOf } from '../api/schema.js';
import { el } from '../dom.js';
import { put } from '../influxql/put.js';
import { lexerTried } from '../influxql/tokenize.js';
import { change, current, onChange } from '../state.js';

/** How long a click waits for the parser that finds its place. */
const patience_ms = 2000;

/** `{ element, … }` with what both forms of the editor can do. `run()` is called by Ctrl-Enter. */
export function queryEditor(run) {
  const area = el('textarea', {
    'aria-label': 'InfluxQL query',
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
  onChange(({ query }) => inner.setText(query));
  load(element, area, run).then(
    (made) => (inner = made),
    () => {},
  );
  return {
    element,
    /** Puts what was chosen in the explorer into the query; as `put` of `influxql/put.js`. */
    async put(item) {
      await lexerTried(patience_ms);
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

async function load(element, area, run) {
  const { makeQueryEditor } = await import('../editor/influxql.js');
  const host = el('div', { class: 'editor-host' });
  const hadFocus = document.activeElement === area;
  const made = makeQueryEditor({
    host,
    text: current().query,
    changed: (query) => change({ query }),
    run,
    schema: () => schemaOf(current().db),
  });
  area.replaceWith(host);
  if (hadFocus) made.focus();
  return made;
}

/** What a text area can do of it. */
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
  };
}
