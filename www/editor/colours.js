// The colours of a query's words, in every language that is read as words.

import { Decoration, ViewPlugin } from '@codemirror/view';

/** Kinds of words that have a colour. */
const coloured = ['string', 'regex', 'number', 'comment', 'name', 'operator', 'variable'];

const marks = new Map(
  [...coloured, 'keyword', 'function'].map((kind) => [kind, Decoration.mark({ class: `ql-${kind}` })]),
);

/**
 * The colours of a text. `wordsOf(text)` reads it, into nothing until `ready` resolves; `keywords` has
 * them in upper case; `isFunction(name)` is asked of a name before brackets.
 */
export function colours({ wordsOf, keywords, isFunction, ready = Promise.resolve() }) {
  const markOf = ({ kind, text, upper }, next) => {
    if (kind !== 'word') return marks.get(kind);
    if (keywords.has(upper)) return marks.get('keyword');
    return next?.text === '(' && isFunction(text.toLowerCase()) ? marks.get('function') : undefined;
  };
  const coloursOf = (text) => {
    const words = wordsOf(text).filter(({ kind }) => kind !== 'space');
    const ranges = words.flatMap((word, index) => {
      const mark = markOf(word, words[index + 1]);
      return mark ? [mark.range(word.from, word.to)] : [];
    });
    return Decoration.set(ranges);
  };
  return ViewPlugin.fromClass(
    class {
      constructor(view) {
        this.decorations = coloursOf(view.state.doc.toString());
        // An empty transaction lets it look again.
        ready.then(
          () => view.dispatch({}),
          () => {},
        );
      }

      update({ docChanged, state }) {
        if (docChanged || this.decorations.size === 0) this.decorations = coloursOf(state.doc.toString());
      }
    },
    { decorations: (plugin) => plugin.decorations },
  );
}
