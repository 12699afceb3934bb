// npm run sql: builds the SQL Worker, and the same module for the console's page. The page loads
// the module on demand. `npm start` and `npm run deploy` bind the SQL Worker if it was built.
//
//   npm run sql               compiled quickly, for development
//   npm run sql -- release    compiled for a small size, for a release

import { endAllOnSignals } from './processes.mjs';
import { finishWith, UserError } from './project.mjs';
import { packages, releaseProfile, sql } from './setup.mjs';

endAllOnSignals();
await finishWith(async () => {
  const [profile, ...more] = process.argv.slice(2);
  if (more.length > 0 || (profile !== undefined && profile !== releaseProfile)) {
    throw new UserError(`usage: npm run sql [-- ${releaseProfile}]`);
  }
  await packages();
  await sql(profile);
});
