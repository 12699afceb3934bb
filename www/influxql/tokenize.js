// Tokenizes InfluxQL with the engine's parser, which is loaded after the page. Until then, the
// effect of a text is unknown. Therefore the page sends queries with GET, and the server rejects
// statements that write.

/** The address is relative to the page, like all files of the engine. */
const moduleAddress = () => new URL('engine/tidemark_bg.wasm', document.baseURI);

/** The indices are the numbers of token kinds in crates/browser/src/influxql_outline.rs. */
const kinds = [
  'space',
  'comment',
  'string',
  'name',
  'number',
  'regex',
  'variable',
  'word',
  'mark',
  'other',
  'operator',
];
const effects = [null, 'selects', 'reads', 'writes'];

let outline = null;
let starting = null;

/**
 * Loads the parser. `source` is its module or the module's address. Rejects if the module is
 * unavailable.
 */
export function startLexer(source = moduleAddress()) {
  starting ??= load(source).catch((error) => {
    starting = null;
    throw error;
  });
  return starting;
}

async function load(source) {
  const engine = await import('#engine');
  await engine.default({ module_or_path: source });
  outline = engine.outline;
}

/** Resolves when the parser is loaded or unavailable, or after `patience_ms`. */
export function waitForLexer(patience_ms) {
  const late = new Promise((resolve) => setTimeout(resolve, patience_ms));
  return Promise.race([startLexer().catch(() => {}), late]);
}

/** The last text is cached, because the page parses most texts several times. */
let last = { text: null, read: null };

/**
 * Returns null if the parser is not loaded. `does` is `selects`, `reads` or `writes`, or null for a
 * syntax error. A word is `{ kind, text, from, to, upper }`. The words include spaces and comments.
 * A statement is `{ does, tokens, from, to }`. Its tokens are all words except spaces and comments.
 */
export function readText(text) {
  if (!outline) return null;
  if (last.text !== text) last = { text, read: read(text) };
  return last.read;
}

function read(text) {
  const [does, numbers, places] = outline(text);
  const words = [];
  for (let at = 0; at < numbers.length; at += 3) {
    const [kind, from, to] = [kinds[numbers[at]], numbers[at + 1], numbers[at + 2]];
    const word = text.slice(from, to);
    words.push({ kind, text: word, from, to, upper: kind === 'word' ? word.toUpperCase() : word });
  }
  const said = meaningful(words);
  const statements = [];
  for (let at = 0; at < places.length; at += 3) {
    const [from, to] = [places[at + 1], places[at + 2]];
    const tokens = said.filter((word) => word.from >= from && word.to <= to);
    statements.push({ does: effects[places[at]], tokens, from, to });
  }
  return { does: effects[does], words, statements };
}

/** Returns an empty list if the parser is not loaded. */
export const tokenize = (text) => readText(text)?.words ?? [];

export const meaningful = (words) =>
  words.filter(({ kind }) => kind !== 'space' && kind !== 'comment');
