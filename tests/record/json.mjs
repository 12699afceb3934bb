// JSON text to values, keeping what JSON.parse loses: the text of every number, and the order of
// members. A number becomes a `JsonNumber`; everything else becomes the usual JavaScript value.

export class JsonNumber {
  constructor(text) {
    this.text = text;
  }
}

/** Parses one JSON document. Throws with the byte position on anything that is not JSON. */
export function parseJson(text) {
  const reader = new Reader(text);
  const value = reader.value();
  reader.space();
  if (reader.at < text.length) reader.fail('end of document');
  return value;
}

class Reader {
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  fail(expected) {
    const found = JSON.stringify(this.text.slice(this.at, this.at + 20));
    throw new Error(`not JSON at ${this.at}: expected ${expected}, found ${found}`);
  }

  match(pattern) {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (!found) return null;
    this.at += found[0].length;
    return found[0];
  }

  space() {
    this.match(/[ \t\r\n]*/y);
  }

  take(char) {
    this.space();
    if (this.text[this.at] !== char) return false;
    this.at += 1;
    return true;
  }

  value() {
    if (this.take('{')) return this.members();
    if (this.take('[')) return this.elements();
    const number = this.match(/-?\d+(\.\d+)?([eE][+-]?\d+)?/y);
    if (number !== null) return new JsonNumber(number);
    if (this.text[this.at] === '"') return this.string();
    const word = this.match(/true|false|null/y);
    if (word === null) this.fail('a value');
    return JSON.parse(word);
  }

  string() {
    this.space();
    const literal = this.match(/"(?:[^"\\]|\\.)*"/y);
    if (literal === null) this.fail('a string');
    return JSON.parse(literal);
  }

  members() {
    const object = new Map();
    if (this.take('}')) return object;
    for (;;) {
      const key = this.string();
      if (!this.take(':')) this.fail("':'");
      if (object.has(key)) this.fail(`no second ${JSON.stringify(key)}`);
      object.set(key, this.value());
      if (this.take('}')) return object;
      if (!this.take(',')) this.fail("',' or '}'");
    }
  }

  elements() {
    const array = [];
    if (this.take(']')) return array;
    for (;;) {
      array.push(this.value());
      if (this.take(']')) return array;
      if (!this.take(',')) this.fail("',' or ']'");
    }
  }
}
