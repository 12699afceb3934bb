// npm run deploy: builds, then hands over to `wrangler deploy` with the arguments after `--`.

import { refusesLimits } from '../packages/tidemark/lib/wrangler.mjs';
import { endAllOnSignals, run } from './processes.mjs';
import { finishWith, wrangler } from './project.mjs';
import { freeConfiguration } from './free-plan.mjs';
import { everything } from './setup.mjs';

endAllOnSignals();
await finishWith(async () => {
  const node = await everything();
  const asked = [wrangler, 'deploy', ...process.argv.slice(2)];
  const { code, output } = await run(node, asked, { tee: true });
  if (code === 0 || !refusesLimits(output)) return code ?? 1;
  console.log('\n- This account has the free plan: once more without the CPU limit of wrangler.toml');
  const free = await run(node, [...asked, '--config', await freeConfiguration()]);
  return free.code ?? 1;
});
