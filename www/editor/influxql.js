// InfluxQL in the query editor: its colours and its completion.

import { choices } from '../influxql/complete.js';
import { functions } from '../influxql/functions.js';
import { keywords } from '../influxql/statements.js';
import { startLexer, tokenize } from '../influxql/tokenize.js';
import { labelled } from './codemirror.js';
import { colours } from './colours.js';
import { completing } from './query.js';

const names = new Set([...functions.map(({ name }) => name), 'time', 'fill', 'tz', 'now']);

/** What the editor has of InfluxQL. `schema()` answers what completion asks for. */
export const language = (schema) => [
  labelled('InfluxQL query', 'SELECT … FROM …'),
  colours({ wordsOf: tokenize, keywords, isFunction: (name) => names.has(name), ready: startLexer() }),
  completing(async (before, whole) => {
    // What is typed before the parser is there is completed when it is.
    await startLexer().catch(() => {});
    return choices(before, whole, schema());
  }),
];
