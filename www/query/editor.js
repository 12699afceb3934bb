// The query editor: a plain text area at once, and CodeMirror in its place when it has come.

import { schemaOf } from '../api/schema.js';
import { el } from '../dom.js';
import { change, current, onChange } from '../state.js';

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
    insert: (text) => inner.insert(text),
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
    setText: (text) => text !== area.value && (area.value = text),
    insert(text) {
      area.setRangeText(text, area.selectionStart, area.selectionEnd, 'end');
      change({ query: area.value });
      area.focus();
    },
    selected: () => ({
      from: area.selectionStart,
      to: area.selectionEnd,
      text: area.value.slice(area.selectionStart, area.selectionEnd),
    }),
    mark: () => {},
    goTo: (offset) => (area.focus(), area.setSelectionRange(offset, offset)),
    focus: () => area.focus(),
  };
}
