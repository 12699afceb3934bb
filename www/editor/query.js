// The query editor: what is the same in every language of it.

import {
  acceptCompletion,
  autocompletion,
  closeBrackets,
  closeCompletion,
  completionKeymap,
} from '@codemirror/autocomplete';
import { Compartment, Prec } from '@codemirror/state';
import { keymap } from '@codemirror/view';

import { makeEditor } from './codemirror.js';

/**
 * The editor of queries in `host`. `language` is what `language(schema)` of a file beside this one
 * made, and `speak` of the editor takes another one; `run()` is called by Ctrl-Enter and Cmd-Enter.
 */
export function makeQueryEditor({ host, text, language, changed, run }) {
  const place = new Compartment();
  const keys = [
    { key: 'Mod-Enter', run: (view) => (closeCompletion(view), run(), true) },
    { key: 'Tab', run: acceptCompletion },
  ];
  const made = makeEditor({
    host,
    text,
    changed,
    extensions: [
      Prec.highest(keymap.of(keys)),
      keymap.of(completionKeymap),
      place.of(language),
      closeBrackets(),
    ],
  });
  return { ...made, speak: (other) => made.tell(place.reconfigure(other)) };
}

/**
 * The list of what may come next. `choices(before, whole)` answers with a promise, as CodeMirror takes
 * them; one that is rejected is an empty list.
 */
export function completing(choices) {
  const source = async (context) => {
    const whole = context.state.doc.toString();
    const before = whole.slice(0, context.pos);
    if (!context.explicit && !/[\w"'(,= ]$/.test(before)) return null;
    const { from, options } = await choices(before, whole).catch(() => ({ from: context.pos, options: [] }));
    // Whoever has gone on to a menu meanwhile would find the list in front of it.
    if (!context.view?.hasFocus) return null;
    // A list after each space would be in the way; names and values it is worth one.
    const isWord = from < context.pos;
    const isShort = options.some(({ type }) => ['class', 'namespace', 'text'].includes(type));
    if (!context.explicit && !isWord && !isShort) return null;
    return { from, options, validFor: /^["']?[\w.-]*["']?$/ };
  };
  return autocompletion({ override: [source], icons: false });
}
