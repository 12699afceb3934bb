// InfluxQL as the server reads it: the engine's own parser, in this page.
//
// It comes after the page is there. Until then nobody here knows what a text does: what is asked
// meanwhile goes by GET, and the server decides.

/** Beside the page, as every file of the engine. */
const moduleAddress = () => new URL('engine/tidemark_bg.wasm', document.baseURI);

/** By the numbers of src/browser/influxql_outline.rs. */
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

/** Loads the parser, once; `source` is its module, or where that is. Rejects where there is none. */
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
  if (!engine.outline) throw new Error('the module is of an older release');
  outline = engine.outline;
}

/** Resolves when the parser is there, or cannot be had, or after `patience_ms`. */
export function lexerTried(patience_ms) {
  const late = new Promise((resolve) => setTimeout(resolve, patience_ms));
  return Promise.race([startLexer().catch(() => {}), late]);
}

/** The text that was read last: most are asked about several times. */
let last = { text: null, read: null };

/**
 * `{ does, words, statements }` of a text; null while the parser is not there. `does` is `selects`,
 * `reads` or `writes`, or null for what does not parse. A word is `{ kind, text, from, to, upper }`,
 * blanks and comments too; a statement is `{ does, tokens, from, to }` with the other words.
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

/** The words of a text; none while the parser is not there. */
export const tokenize = (text) => readText(text)?.words ?? [];

/** The words without blanks and comments. */
export const meaningful = (words) =>
  words.filter(({ kind }) => kind !== 'space' && kind !== 'comment');
