// npm run deploy: builds, then hands over to `wrangler deploy` with the arguments after `--`.

import { endAllOnSignals, run } from './processes.mjs';
import { finishWith, wrangler } from './project.mjs';
import { everything } from './setup.mjs';

endAllOnSignals();
await finishWith(async () => {
  const node = await everything();
  const { code } = await run(node, [wrangler, 'deploy', ...process.argv.slice(2)]);
  return code ?? 1;
});
