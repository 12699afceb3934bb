// The editor, in a chunk of its own: CodeMirror with what both of its users share.
//
// It lives in a shadow root: there it brings its styles without a <style> element, which the
// page's policy forbids.

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

import { look } from './look.js';

/** @type {import('@codemirror/state').StateEffectType<{ from: number, to: number, message: string }[]>} */
const setMarks = StateEffect.define();

/** Underlined places: `{ from, to, message }`; they go when the text there changes. */
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

/** An editor's name for readers of screens, and what stands in it while it is empty. */
export const labelled = (label, hint) => [
  EditorView.contentAttributes.of({ 'aria-label': label }),
  placeholder(hint),
];

/**
 * An editor in `host`, which it empties. `changed(text)` is called after each change of the text,
 * `extensions` come before the shared ones.
 */
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

/** What the page may do with an editor. */
function handle(view) {
  return {
    text: () => view.state.doc.toString(),
    /** Another text, with the cursor at an offset of it, or at its end. */
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
    /** Underlines places of the text; none takes all lines away. */
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
    /** The offset of a line and a column, both from 1. */
    offset(line, column) {
      const { from, to } = view.state.doc.line(Math.min(Math.max(line, 1), view.state.doc.lines));
      return Math.min(from + column - 1, to);
    },
    goTo(offset) {
      view.dispatch({ selection: { anchor: offset }, scrollIntoView: true });
      view.focus();
    },
    focus: () => view.focus(),
    /** Applies an effect, such as another language. */
    tell: (effects) => view.dispatch({ effects }),
  };
}
