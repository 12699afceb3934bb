// npm run build: builds the Worker for release and the console. With `--static`, also builds the console
// that runs without a server, together with the documentation site.

import { staticPage } from './console.mjs';
import { endAllOnSignals } from './processes.mjs';
import { finishWith } from './project.mjs';
import { prepareAll } from './setup.mjs';
import { documentationSite } from '../docs/site/site.mjs';

endAllOnSignals();
await finishWith(async () => {
  await prepareAll();
  if (!process.argv.includes('--static')) return;
  await documentationSite();
  await staticPage();
});
