// SQL in the query editor: colours and completion.

import { choices } from '../sql/complete.js';
import { keywords, wordsOf } from '../sql/words.js';
import { labelled } from './codemirror.js';
import { colours } from './colours.js';
import { completing } from './query.js';

/** Returns the extensions for SQL. `schema()` returns the names for the completion. */
export const language = (schema) => [
  labelled('SQL query', 'SELECT … FROM …'),
  // Every name may be a function, because only the server has the list of functions.
  colours({ wordsOf, keywords, isFunction: () => true }),
  completing((before, whole) => choices(before, whole, schema())),
];
