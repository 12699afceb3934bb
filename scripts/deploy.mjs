// npm run deploy: builds, then hands over to `wrangler deploy` with the arguments after `--`. Where the
// Worker of SQL was built it goes first, and the database's is bound to it.

import { refusesLimits } from '../packages/tidemark/lib/wrangler.mjs';
import { endAllOnSignals, run } from './processes.mjs';
import { finishWith, wrangler } from './project.mjs';
import { configurationWith } from './bound-configuration.mjs';
import { freeConfiguration } from './free-plan.mjs';
import { everything, hasSql, sql } from './setup.mjs';
import { sqlConfiguration } from './sql-binding.mjs';

/** Sends the Worker of SQL; whether the database's may be bound to it. */
async function sendSql(node, given) {
  if (!hasSql()) {
    console.log('- Without SQL: `npm run sql` builds it');
    return false;
  }
  // There each Worker has a repository's build of its own.
  if (process.env.WRANGLER_CI_OVERRIDE_NAME) {
    console.log('- Without SQL: Workers Builds sends one Worker');
    return false;
  }
  await sql();
  const dry = given.filter((argument) => argument === '--dry-run');
  const args = [wrangler, 'deploy', ...dry, '--config', sqlConfiguration];
  const { code, output } = await run(node, args, { tee: true });
  if (code === 0) return true;
  if (!refusesLimits(output)) return null;
  console.log('\n- Without SQL: the 10 ms of the free plan cannot plan a statement');
  return false;
}

endAllOnSignals();
await finishWith(async () => {
  const node = await everything();
  const given = process.argv.slice(2);
  const isBound = await sendSql(node, given);
  if (isBound === null) return 1;
  const asked = [wrangler, 'deploy', ...given];
  const bound = isBound ? ['--config', await configurationWith({ sql: true })] : [];
  const { code, output } = await run(node, [...asked, ...bound], { tee: true });
  if (code === 0 || !refusesLimits(output)) return code ?? 1;
  console.log('\n- This account has the free plan: once more without the CPU limit of wrangler.toml');
  const free = await run(node, [...asked, '--config', await freeConfiguration()]);
  return free.code ?? 1;
});
