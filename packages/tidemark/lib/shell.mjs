// The shell of `tidemark query`: InfluxQL with history and completion.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';

import { resultsOf } from './answer.mjs';

/** The maximum number of lines in the history. */
const historyLinesMax = 1_000;

/** The words for completion: InfluxQL keywords and the shell's commands. */
const keywords = (
  'SELECT FROM WHERE GROUP BY ORDER LIMIT SLIMIT OFFSET SOFFSET DESC AND OR INTO fill time now() ' +
  'SHOW DATABASES MEASUREMENTS SERIES FIELD TAG KEYS VALUES WITH KEY RETENTION POLICIES SHARDS STATS USERS ' +
  'CREATE DROP DATABASE DELETE ALTER POLICY DURATION REPLICATION DEFAULT ON EXPLAIN ANALYZE ' +
  'mean( count( sum( min( max( first( last( median( percentile( derivative( difference( distinct( ' +
  'use format exit help'
).split(' ');

const help = `use DB        selects the database for queries
format NAME   prints results as table, csv or json
exit          ends the shell, like Ctrl-D
Everything else is InfluxQL. Tab completes words, databases, measurements and their fields.`;

const historyFile = () =>
  join(process.env.XDG_STATE_HOME || join(homedir(), '.local', 'state'), 'tidemark', 'history');

function readHistory() {
  const file = historyFile();
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(Boolean) : [];
}

/**
 * Writes the history. Statements may contain passwords, so only this user can read the file, and
 * lines with passwords are omitted.
 */
function writeHistory(lines) {
  const file = historyFile();
  const kept = lines.filter((line) => !/password/i.test(line)).slice(0, historyLinesMax);
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    writeFileSync(file, kept.map((line) => `${line}\n`).join(''), { mode: 0o600 });
  } catch {
    // A failure to write the history is ignored.
  }
}

/** The names in a database for completion, cached until [forget] is called. */
class Names {
  constructor(connection) {
    this.connection = connection;
    this.forget();
  }

  forget() {
    /** @type {Promise<string[]> | null} */
    this.known = null;
  }

  async #column(q, db) {
    const response = await this.connection.query(q, { db });
    const series = resultsOf(await response.text()).flatMap((result) => result.series ?? []);
    return series.flatMap(({ values = [] }) => values.map(([name]) => String(name)));
  }

  async #ask(db) {
    const wanted = ['SHOW DATABASES', ...(db ? ['SHOW MEASUREMENTS', 'SHOW FIELD KEYS', 'SHOW TAG KEYS'] : [])];
    const all = await Promise.all(wanted.map((q) => this.#column(q, db)));
    return [...new Set(all.flat())].sort();
  }

  of(db) {
    this.known ??= this.#ask(db).catch(() => []);
    return this.known;
  }
}

/** Returns the completions of the last word in `line`. */
export function completions(line, names) {
  const [last] = /[^\s,()"']*$/.exec(line) ?? [''];
  const folded = last.toLowerCase();
  const found = [...names, ...keywords].filter((word) => word.toLowerCase().startsWith(folded));
  return [last === '' ? [] : found, last];
}

/**
 * Reads lines until the end of input. `state` is `{ db, format }` and may change. `show(q)` runs a
 * query and prints the result, or rejects with an error to print.
 */
export async function shell({ connection, state, show }) {
  const names = new Names(connection);
  const completer = (line, answer) =>
    names.of(state.db).then((known) => answer(null, completions(line, known)), () => answer(null, [[], line]));
  const reader = createInterface({
    input: process.stdin,
    output: process.stdout,
    completer,
    history: readHistory(),
    historySize: historyLinesMax,
    removeHistoryDuplicates: true,
  });
  reader.on('history', writeHistory);
  const prompt = () => {
    reader.setPrompt(`${state.db || 'tidemark'}> `);
    reader.prompt();
  };
  console.log(`Connected to ${connection.url}. Type help for the commands.`);
  prompt();
  for await (const line of reader) {
    const text = line.trim().replace(/;$/, '');
    const [word, argument] = text.split(/\s+/, 2);
    if (word === 'exit' || word === 'quit') break;
    else if (word === 'help') console.log(help);
    else if (word.toLowerCase() === 'use' && argument) {
      state.db = argument.replace(/^"(.*)"$/, '$1');
      names.forget();
    } else if (word === 'format' && ['table', 'csv', 'json'].includes(argument)) state.format = argument;
    else if (text !== '') {
      await show(text).catch((error) => console.error(error.message));
      if (/^(create|drop|delete|alter)\b/i.test(text)) names.forget();
    }
    prompt();
  }
  reader.close();
}
