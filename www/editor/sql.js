// SQL in the query editor: its colours and its completion.

import { choices } from '../sql/complete.js';
import { keywords, wordsOf } from '../sql/words.js';
import { labelled } from './codemirror.js';
import { colours } from './colours.js';
import { completing } from './query.js';

/** What the editor has of SQL. `schema()` answers what completion asks for. */
export const language = (schema) => [
  labelled('SQL query', 'SELECT … FROM …'),
  // Which functions there are is the server's to know.
  colours({ wordsOf, keywords, isFunction: () => true }),
  completing((before, whole) => choices(before, whole, schema())),
];
