// Syntax colours of a query, for every language with a tokenizer.

import { Decoration, ViewPlugin } from '@codemirror/view';

const coloured = ['string', 'regex', 'number', 'comment', 'name', 'operator', 'variable'];

const marks = new Map(
  [...coloured, 'keyword', 'function'].map((kind) => [kind, Decoration.mark({ class: `ql-${kind}` })]),
);

/**
 * Returns the extension for syntax colours. `wordsOf(text)` returns no words until `ready`
 * resolves. `keywords` contains upper-case words. The extension calls `isFunction(name)` for names
 * before an opening bracket.
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
        // An empty transaction triggers an update.
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
