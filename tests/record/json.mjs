// Parses JSON and keeps two things that JSON.parse does not: the text of every number, and the
// order of members with numeric names.

import { printParseErrorCode, visit } from 'jsonc-parser';

export class JsonNumber {
  constructor(text) {
    this.text = text;
  }
}

const strictly = { disallowComments: true, allowTrailingComma: false };

/** Throws with the position if the text is not JSON, or if an object contains a name twice. */
export function parseJson(text) {
  const documents = [];
  /** From the outermost to the innermost array or object. */
  const open = [documents];
  let key = '';
  const put = (value, position) => {
    const inner = open.at(-1);
    if (Array.isArray(inner)) inner.push(value);
    else if (inner.has(key)) throw new Error(`a second ${JSON.stringify(key)} at ${position}`);
    else inner.set(key, value);
  };
  const begin = (made, position) => {
    put(made, position);
    open.push(made);
  };
  const end = () => void open.pop();
  const visitor = {
    onObjectBegin: (position) => begin(new Map(), position),
    onObjectProperty: (name) => void (key = name),
    onObjectEnd: end,
    onArrayBegin: (position) => begin([], position),
    onArrayEnd: end,
    onLiteralValue: (value, position, length) =>
      put(typeof value === 'number' ? new JsonNumber(text.slice(position, position + length)) : value, position),
    onError: (code, position) => {
      const found = JSON.stringify(text.slice(position, position + 20));
      throw new Error(`not JSON at ${position}: ${printParseErrorCode(code)}, found ${found}`);
    },
  };
  visit(text, visitor, strictly);
  return documents[0];
}
