// InfluxQL in the query editor: colours and completion.

import { choices } from '../influxql/complete.js';
import { functions } from '../influxql/functions.js';
import { keywords } from '../influxql/statements.js';
import { startLexer, tokenize } from '../influxql/tokenize.js';
import { labelled } from './codemirror.js';
import { colours } from './colours.js';
import { completing } from './query.js';

const names = new Set([...functions.map(({ name }) => name), 'time', 'fill', 'tz', 'now']);

/** Returns the extensions for InfluxQL. `schema()` returns the names for the completion. */
export const language = (schema) => [
  labelled('InfluxQL query', 'SELECT … FROM …'),
  colours({ wordsOf: tokenize, keywords, isFunction: (name) => names.has(name), ready: startLexer() }),
  completing(async (before, whole) => {
    await startLexer().catch(() => {});
    return choices(before, whole, schema());
  }),
];
