// npm run sql: the Worker of SQL, which `npm start` and `npm run deploy` bind when it is there.

import { endAllOnSignals } from './processes.mjs';
import { finishWith } from './project.mjs';
import { packages, sql } from './setup.mjs';

endAllOnSignals();
await finishWith(async () => {
  await packages();
  await sql();
});
