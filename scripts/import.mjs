// Runs `tidemark import` from a clone, as node scripts/import.mjs.

import { main } from '../packages/tidemark/lib/main.mjs';

process.exitCode = await main(['import', ...process.argv.slice(2)]);
