// npm run sql: builds the SQL Worker, and the same module for the console's page. The page loads
// the module on demand. `npm start` and `npm run deploy` bind the SQL Worker if it was built.
//
//   npm run sql               compiled quickly, for development
//   npm run sql -- release    compiled for a small size, for a release

import { endAllOnSignals } from './processes.mjs';
import { finishWith, UserError } from './project.mjs';
import { prepareSql } from './setup.mjs';

endAllOnSignals();
await finishWith(async () => {
  const [kind, ...more] = process.argv.slice(2);
  if (more.length > 0 || (kind !== undefined && kind !== 'release')) throw new UserError('usage: npm run sql [-- release]');
  await prepareSql(kind === 'release' ? 'sql' : 'sql-quick');
});
