// npm run build: builds the Worker for release and the console. With `--static`, builds the console
// that runs without a server instead, together with the documentation site.

import { staticPage } from './console.mjs';
import { endAllOnSignals } from './processes.mjs';
import { finishWith } from './project.mjs';
import { prepareAll, preparePage } from './setup.mjs';
import { documentationSite } from './site/site.mjs';

endAllOnSignals();
await finishWith(async () => {
  if (!process.argv.includes('--static')) {
    await prepareAll();
    return;
  }
  await preparePage();
  await documentationSite();
  await staticPage();
});
