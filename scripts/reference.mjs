// Writes the generated pages of docs/reference. With `--check`, only compares them.

import { readFileSync, writeFileSync } from 'node:fs';

import { at, finishWith, UserError } from './project.mjs';
import { commandsPage } from './site/reference_commands.mjs';
import { errorsPage } from './site/reference_errors.mjs';
import { limitsPage } from './site/reference_limits.mjs';
import { metricsPage } from './site/reference_metrics.mjs';
import { routesPage } from './site/reference_routes.mjs';

const pages = {
  'docs/reference/http.md': routesPage,
  'docs/reference/cli.md': commandsPage,
  'docs/reference/limits.md': limitsPage,
  'docs/reference/errors.md': errorsPage,
  'docs/reference/metrics.md': metricsPage,
};

await finishWith(async () => {
  const outdated = [];
  for (const [path, generate] of Object.entries(pages)) {
    const text = await generate();
    if (!process.argv.includes('--check')) writeFileSync(at(path), text);
    else if (readFileSync(at(path), 'utf8') !== text) outdated.push(path);
  }
  if (outdated.length > 0) throw new UserError(`Outdated: ${outdated.join(', ')}. To write them: npm run reference`);
});
