// The Worker of SQL beside the database: the committed wrangler.toml does without it.

import { at } from './project.mjs';

/** The configuration of the Worker of SQL. */
export const sqlConfiguration = at('sql', 'wrangler.toml');

/** What who starts the database is told of the Worker of SQL; null where it is there and new. */
export function hintOfSql({ has, isOld }) {
  if (!has) return 'For SQL run `npm run sql` once (about ten minutes), then start again.';
  return isOld ? 'The Worker of SQL is older than its sources: `npm run sql` builds it anew.' : null;
}

/** What `parse` makes of wrangler.toml, and of each of its environments, with the binding. */
export function withBinding(configuration) {
  const bound = (one) => ({
    ...one,
    services: [...(one.services ?? []), { binding: 'SQL', service: 'tidemark-sql' }],
  });
  const environments = Object.entries(configuration.env ?? {});
  const env = environments.map(([name, one]) => [name, bound(one)]);
  const more = env.length > 0 ? { env: Object.fromEntries(env) } : {};
  return { ...bound(configuration), ...more };
}
