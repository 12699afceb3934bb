// npm run sql: the Worker of SQL, which `npm start` and `npm run deploy` bind when it is there, and the same for the
// console's page, which loads it when somebody asks for it.
//
//   npm run sql               compiled quickly, as who develops has it
//   npm run sql -- release    compiled small, as a release has it

import { endAllOnSignals } from './processes.mjs';
import { finishWith, Sentence } from './project.mjs';
import { packages, releaseProfile, sql } from './setup.mjs';

endAllOnSignals();
await finishWith(async () => {
  const [profile, ...more] = process.argv.slice(2);
  if (more.length > 0 || (profile !== undefined && profile !== releaseProfile)) {
    throw new Sentence(`usage: npm run sql [-- ${releaseProfile}]`);
  }
  await packages();
  await sql(profile);
});
