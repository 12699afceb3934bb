// Tests the Ruby gem influxdb, in the version of Debian's package. The gem sends every statement
// with GET.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { run } from '../../scripts/processes.mjs';
import { at } from '../../scripts/project.mjs';
import { PlainWorkerd, tidemark, token } from './harness.mjs';
import { isAvailable, quietly } from './program.mjs';

/** The script's report with InfluxDB 1.6.7, in which the user "any" was an administrator. */
const recorded = JSON.parse(readFileSync(at('tests', 'edge', 'ruby', 'recorded.json'), 'utf8'));

test('the Ruby gem influxdb gets the results of InfluxDB 1.6.7', async (t) => {
  if (!(await isAvailable(t, 'ruby-influxdb', () => quietly('ruby', ['-rinfluxdb', '-e', ''])))) return;
  const server = await tidemark(t, {}, PlainWorkerd);
  const { hostname, port } = new URL(server.url);
  const script = at('tests', 'edge', 'ruby', 'client.rb');
  const { code, output } = await run('ruby', [script, hostname, port, token], { quiet: true });
  assert.equal(code, 0, output);
  assert.doesNotMatch(output, /WARN|ERROR/);
  const { version, forbidden, ...found } = JSON.parse(output);
  assert.match(version, /^1\./);
  assert.match(forbidden, /not authorized to write to database \\"made\\"/);
  // In 1.6.7, SHOW SERIES includes the retention policy "long" (docs/COMPATIBILITY.md).
  const series = recorded.series.filter((name) => name !== 'kept');
  assert.deepEqual(found, { ...recorded, series });
});
