// Compares the tables in sql/tests/data with the results of PyPI's datafusion and of DuckDB for the
// same rows.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { at } from '../../scripts/project.mjs';
import { hasPythonClients, order } from './python.mjs';

test('other engines return the same tables for the SQL scripts', async (t) => {
  if (!(await hasPythonClients(t))) return;
  const { error, ...found } = await order('sql_peers', { action: 'compare', folder: at('sql', 'tests', 'data') });
  assert.equal(error, null);
  for (const [peer, { same, cannot, differ }] of Object.entries(found)) {
    t.diagnostic(`${peer}: ${same} tables are the same, ${cannot} statements are not of its dialect`);
    assert.deepEqual(differ, [], peer);
  }
  // Smaller numbers would mean that many statements did not run.
  assert.ok(found.datafusion.same >= 100 && found.duckdb.same >= 75, JSON.stringify(found));
});
