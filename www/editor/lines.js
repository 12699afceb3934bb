// The line protocol editor, with colours for the parts of a line.

import { LanguageSupport, StreamLanguage } from '@codemirror/language';

import { labelled, makeEditor } from './codemirror.js';

const language = StreamLanguage.define({
  name: 'line-protocol',
  startState: () => ({ part: 'measurement' }),
  token(stream, state) {
    if (stream.sol()) state.part = stream.peek() === '#' ? 'comment' : 'measurement';
    if (state.part === 'comment') return (stream.skipToEnd(), 'comment');
    if (stream.eat(' ')) {
      stream.eatWhile(' ');
      state.part = state.part === 'fields' ? 'time' : 'fields';
      return null;
    }
    if (stream.eat(',') || stream.eat('=')) return 'operator';
    if (stream.match(/"(?:\\.|[^"\\])*"?/)) return 'string';
    const before = stream.string[stream.start - 1];
    stream.match(/(?:\\.|[^\\,= ])+/) || stream.next();
    if (state.part === 'measurement' && before === undefined) return 'keyword';
    if (state.part === 'time') return 'number';
    if (before === '=') return state.part === 'fields' ? 'number' : 'string';
    return 'propertyName';
  },
});

export const makeLineEditor = ({ host, text, changed }) =>
  makeEditor({
    host,
    text,
    changed,
    extensions: [
      labelled('Line protocol', 'room,floor=1 temperature=21.5,open=false'),
      new LanguageSupport(language),
    ],
  });
