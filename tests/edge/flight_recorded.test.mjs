// Go, Java, C#, JDBC and Grafana by the calls that they make, as tests/data/flight has them from their sources.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

import { at } from '../../scripts/project.mjs';
import { hasSql } from '../../scripts/setup.mjs';
import { served } from './flight_cases.mjs';
import { callsOf, replay } from './flight_recorded.mjs';
import { ended, grpcClient } from './grpc_client.mjs';
import { token } from './harness.mjs';

const built = { skip: hasSql() ? false : 'SQL is not built: npm run sql' };

test('calls of clients that are not run here', built, async (t) => {
  const { port } = await served(t, { hasMillion: false });
  const folder = at('tests', 'data', 'flight');
  const files = readdirSync(folder).filter((name) => name.endsWith('.txt'));
  assert.equal(files.length, 6);
  for (const name of files) {
    await t.test(name, async (one) => {
      const calls = callsOf(readFileSync(`${folder}/${name}`, 'utf8'));
      assert.ok(calls.length >= 5);
      await replay(grpcClient(one, `127.0.0.1:${port}`), calls, { token, ended });
    });
  }
});
