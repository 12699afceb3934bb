// The editor, which is a separate chunk: CodeMirror with the extensions that all editors use.
//
// The editor is in a shadow root, because a shadow root can have styles without a <style> element.
// The page's content security policy forbids such elements.

import { defaultKeymap, history, historyKeymap } from '@codemirror/commands';
import { EditorState, StateEffect, StateField } from '@codemirror/state';
import {
  Decoration,
  drawSelection,
  EditorView,
  highlightSpecialChars,
  keymap,
  lineNumbers,
  placeholder,
} from '@codemirror/view';

import { look } from './theme.js';

/** @type {import('@codemirror/state').StateEffectType<{ from: number, to: number, message: string }[]>} */
const setMarks = StateEffect.define();

/** The underlined ranges `{ from, to, message }`. A mark disappears when its text changes. */
const marks = StateField.define({
  create: () => Decoration.none,
  update(before, transaction) {
    let now = before.map(transaction.changes);
    for (const effect of transaction.effects) {
      if (!effect.is(setMarks)) continue;
      const ranges = effect.value.map(({ from, to, message }) =>
        Decoration.mark({ class: 'cm-wrong', attributes: { title: message } }).range(from, to),
      );
      now = Decoration.set(ranges, true);
    }
    return now;
  },
  provide: (field) => EditorView.decorations.from(field),
});

/**
 * Returns the extensions that label an editor. `label` is its name for screen readers, and `hint`
 * is its placeholder.
 */
export const labelled = (label, hint) => [
  EditorView.contentAttributes.of({ 'aria-label': label }),
  placeholder(hint),
];

/** Replaces the contents of `host`. Calls `changed(text)` after each change of the text. */
export function makeEditor({ host, text, changed, extensions = [] }) {
  const root = host.shadowRoot ?? host.attachShadow({ mode: 'open' });
  const view = new EditorView({
    parent: root,
    root,
    state: EditorState.create({
      doc: text,
      extensions: [
        extensions,
        lineNumbers(),
        highlightSpecialChars(),
        history(),
        drawSelection(),
        marks,
        look,
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({ spellcheck: 'false' }),
        keymap.of([...defaultKeymap, ...historyKeymap]),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) changed(update.state.doc.toString());
        }),
      ],
    }),
  });
  return handle(view);
}

function handle(view) {
  return {
    text: () => view.state.doc.toString(),
    /** Places the cursor at an offset or at the end. */
    setText(text, cursor) {
      const isSame = text === view.state.doc.toString();
      if (isSame && cursor === undefined) return;
      view.dispatch({
        changes: isSame ? [] : { from: 0, to: view.state.doc.length, insert: text },
        selection: { anchor: cursor ?? text.length },
      });
    },
    selected() {
      const { from, to } = view.state.selection.main;
      return { from, to, text: view.state.sliceDoc(from, to) };
    },
    /** Underlines ranges of the text. An empty list removes all marks. */
    mark(places) {
      const end = view.state.doc.length;
      const inside = places
        .map(({ from, to, message }) => ({
          from: Math.min(from, Math.max(0, end - 1)),
          to: Math.min(Math.max(to, from + 1), end),
          message,
        }))
        .filter(({ from, to }) => from < to);
      view.dispatch({ effects: setMarks.of(inside) });
    },
    /** The line and the column start at 1. */
    offset(line, column) {
      const { from, to } = view.state.doc.line(Math.min(Math.max(line, 1), view.state.doc.lines));
      return Math.min(from + column - 1, to);
    },
    goTo(offset) {
      view.dispatch({ selection: { anchor: offset }, scrollIntoView: true });
      view.focus();
    },
    focus: () => view.focus(),
    /** Applies an effect, such as a change of language. */
    tell: (effects) => view.dispatch({ effects }),
  };
}
