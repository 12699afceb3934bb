// Completion choices in CodeMirror's format, for every language. `quoted(name)` quotes a name in
// the language.

export const nameChoices = (names, type, quoted) =>
  names.map((name) => ({ label: name, apply: quoted(name), type }));

export const valueChoices = (values, quotedText) =>
  values.map((value) => ({ label: value, apply: quotedText(value), type: 'text' }));

/** Returns the choice of a column. `detail` is the column's type or `tag`. */
export const columnChoice = (name, detail, boost, quoted) =>
  ({ label: name, apply: quoted(name), detail, type: 'variable', boost });

export const functionChoices = (functions) =>
  functions.map(({ name, parameters, explained }) => ({
    label: name,
    apply: `${name}(`,
    detail: `(${parameters})`,
    info: explained,
    type: 'function',
  }));

export const keywordChoices = (keywords) =>
  [...keywords].map((word) => ({ label: word, type: 'keyword', boost: -10 }));
