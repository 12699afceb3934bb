// The query editor: colours, completion and keys of InfluxQL.

import {
  acceptCompletion,
  autocompletion,
  closeBrackets,
  completionKeymap,
} from '@codemirror/autocomplete';
import { LanguageSupport, StreamLanguage } from '@codemirror/language';
import { Prec } from '@codemirror/state';
import { keymap } from '@codemirror/view';

import { choices } from '../influxql/complete.js';
import { functions } from '../influxql/functions.js';
import { keywords } from '../influxql/statements.js';
import { tokenize } from '../influxql/tokenize.js';
import { makeEditor } from './codemirror.js';

const names = new Set([...functions.map(({ name }) => name), 'time', 'fill', 'tz', 'now']);

const styles = {
  string: 'string',
  regex: 'regexp',
  number: 'number',
  comment: 'comment',
  name: 'propertyName',
  operator: 'operator',
  variable: 'variableName.function',
};

function styleOf({ kind, text, upper }, rest) {
  if (kind !== 'word') return styles[kind] ?? null;
  if (keywords.has(upper)) return 'keyword';
  return names.has(text.toLowerCase()) && /^\s*\(/.test(rest) ? 'variableName.function' : null;
}

const language = StreamLanguage.define({
  name: 'influxql',
  startState: () => ({ line: null, tokens: [] }),
  token(stream, state) {
    // A line is cut once and its tokens are handed out one by one.
    if (stream.pos === 0 || state.line !== stream.string) {
      Object.assign(state, { line: stream.string, tokens: tokenize(stream.string) });
    }
    const token = state.tokens.find(({ to }) => to > stream.pos);
    stream.pos = token?.to ?? stream.string.length;
    return token ? styleOf(token, stream.string.slice(token.to)) : null;
  },
});

/**
 * The editor of queries in `host`. `schema()` answers what completion asks for; `run()` is called
 * by Ctrl-Enter and Cmd-Enter.
 */
export function makeQueryEditor({ host, text, changed, run, schema }) {
  const source = async (context) => {
    const whole = context.state.doc.toString();
    const before = whole.slice(0, context.pos);
    if (!context.explicit && !/[\w"'(,= ]$/.test(before)) return null;
    const { from, options } = await choices(before, whole, schema()).catch(() => ({ options: [] }));
    // A list after each space would be in the way; names and values it is worth one.
    const isWord = from < context.pos;
    const isShort = options.some(({ type }) => ['class', 'namespace', 'text'].includes(type));
    if (!context.explicit && !isWord && !isShort) return null;
    return { from, options, validFor: /^["']?[\w.-]*["']?$/ };
  };
  const keys = [
    { key: 'Mod-Enter', run: () => (run(), true) },
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
      new LanguageSupport(language),
      autocompletion({ override: [source], icons: false }),
      closeBrackets(),
    ],
  });
}
