// npm run build: the Worker, for release, and the console.

import { endAllOnSignals } from './processes.mjs';
import { finishWith } from './project.mjs';
import { everything } from './setup.mjs';

endAllOnSignals();
await finishWith(async () => {
  await everything();
});
