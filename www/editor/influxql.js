// The query editor: colours, completion and keys of InfluxQL.

import {
  acceptCompletion,
  autocompletion,
  closeBrackets,
  closeCompletion,
  completionKeymap,
} from '@codemirror/autocomplete';
import { Prec } from '@codemirror/state';
import { Decoration, keymap, ViewPlugin } from '@codemirror/view';

import { choices } from '../influxql/complete.js';
import { functions } from '../influxql/functions.js';
import { keywords } from '../influxql/statements.js';
import { startLexer, tokenize } from '../influxql/tokenize.js';
import { makeEditor } from './codemirror.js';

const names = new Set([...functions.map(({ name }) => name), 'time', 'fill', 'tz', 'now']);

/** Kinds of words that have a colour. */
const coloured = ['string', 'regex', 'number', 'comment', 'name', 'operator', 'variable'];

const marks = new Map(
  [...coloured, 'keyword', 'function'].map((kind) => [kind, Decoration.mark({ class: `ql-${kind}` })]),
);

function markOf({ kind, text, upper }, next) {
  if (kind !== 'word') return marks.get(kind);
  if (keywords.has(upper)) return marks.get('keyword');
  const isCall = next?.text === '(' && names.has(text.toLowerCase());
  return isCall ? marks.get('function') : undefined;
}

/** The colours of a text; none until its parser is there. */
function coloursOf(text) {
  const words = tokenize(text).filter(({ kind }) => kind !== 'space');
  const ranges = words.flatMap((word, index) => {
    const mark = markOf(word, words[index + 1]);
    return mark ? [mark.range(word.from, word.to)] : [];
  });
  return Decoration.set(ranges);
}

const colours = ViewPlugin.fromClass(
  class {
    constructor(view) {
      this.decorations = Decoration.none;
      // An empty transaction lets it look again.
      startLexer().then(
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

/**
 * The editor of queries in `host`. `schema()` answers what completion asks for; `run()` is called
 * by Ctrl-Enter and Cmd-Enter.
 */
export function makeQueryEditor({ host, text, changed, run, schema }) {
  const source = async (context) => {
    const whole = context.state.doc.toString();
    const before = whole.slice(0, context.pos);
    if (!context.explicit && !/[\w"'(,= ]$/.test(before)) return null;
    // What is typed before the parser is there is completed when it is.
    await startLexer().catch(() => {});
    const { from, options } = await choices(before, whole, schema()).catch(() => ({ from: context.pos, options: [] }));
    // Whoever has gone on to a menu meanwhile would find the list in front of it.
    if (!context.view?.hasFocus) return null;
    // A list after each space would be in the way; names and values it is worth one.
    const isWord = from < context.pos;
    const isShort = options.some(({ type }) => ['class', 'namespace', 'text'].includes(type));
    if (!context.explicit && !isWord && !isShort) return null;
    return { from, options, validFor: /^["']?[\w.-]*["']?$/ };
  };
  const keys = [
    { key: 'Mod-Enter', run: (view) => (closeCompletion(view), run(), true) },
    { key: 'Tab', run: acceptCompletion },
  ];
  return makeEditor({
    host,
    text,
    label: 'InfluxQL query',
    hint: 'SELECT … FROM …',
    changed,
    extensions: [
      Prec.highest(keymap.of(keys)),
      keymap.of(completionKeymap),
      colours,
      autocompletion({ override: [source], icons: false }),
      closeBrackets(),
    ],
  });
}
