// The parts of the query editor that all languages use.

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
 * Creates the query editor. `language` is the result of `language(schema)` in the module of a
 * language. Ctrl-Enter and Cmd-Enter call `run()`.
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
  return { ...made, setLanguage: (other) => made.tell(place.reconfigure(other)) };
}

/**
 * Returns the extension for completion. `choices` resolves to choices in CodeMirror's format. A
 * rejected promise has the same effect as an empty list.
 */
export function completing(choices) {
  const source = async (context) => {
    const whole = context.state.doc.toString();
    const before = whole.slice(0, context.pos);
    if (!context.explicit && !/[\w"'(,= ]$/.test(before)) return null;
    const { from, options } = await choices(before, whole).catch(() => ({ from: context.pos, options: [] }));
    // If the editor does not have the focus, the list could cover a menu that the user has opened.
    if (!context.view?.hasFocus) return null;
    // After a space, the list opens only for names and values.
    const isWord = from < context.pos;
    const isShort = options.some(({ type }) => ['class', 'namespace', 'text'].includes(type));
    if (!context.explicit && !isWord && !isShort) return null;
    return { from, options, validFor: /^["']?[\w.-]*["']?$/ };
  };
  return autocompletion({ override: [source], icons: false });
}
