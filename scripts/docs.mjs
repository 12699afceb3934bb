// npm run docs: builds the documentation site into dist-static/docs, a folder inside the console
// for static hosts (docs/BROWSER.md).

import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { staticFolder } from './console.mjs';
import { endAllOnSignals } from './processes.mjs';
import { finishWith } from './project.mjs';
import { built, documentationSite, siteName } from '../docs/site/site.mjs';

endAllOnSignals();
await finishWith(async () => {
  await documentationSite();
  const folder = join(staticFolder, siteName);
  rmSync(folder, { recursive: true, force: true });
  cpSync(built, folder, { recursive: true });
  console.log(`
To read the site, run

  python3 -m http.server --directory dist-static 8000

and open http://127.0.0.1:8000/${siteName}/`);
});
