// Schemathesis calls every operation in the OpenAPI document with generated inputs. The document
// must describe each response.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';

import { at } from '../../scripts/project.mjs';
import { PlainWorkerd, tidemark, token } from './harness.mjs';
import { hasPythonClients, pythonProgram } from './python.mjs';

/** Limits the run to about two minutes. */
const examples = 3;

test('the OpenAPI document describes every status, content type and body', async (t) => {
  if (!(await hasPythonClients(t))) return;
  const server = await tidemark(t, {}, PlainWorkerd);
  const checks = ['status_code', 'content_type', 'response_schema'].map((name) => `${name}_conformance`);
  const words = [
    ...['-m', 'schemathesis.cli', 'run', at('www', 'openapi.json'), '--url', server.url],
    ...['--header', `Authorization: Token ${token}`, '--checks', checks.join(',')],
    // Excludes the three routes of protobuf messages. The tests of Flight and of remote write cover them.
    ...['--phases', 'coverage,fuzzing', '--exclude-path-regex', '^/(arrow|api/v1/(prom/)?write)'],
    ...['--max-examples', String(examples), '--seed', '1', '--generation-database', 'none'],
    ...['--no-shrink', '--continue-on-failure', '--no-color', '--request-timeout', '20'],
  ];
  // Schemathesis writes a cache into its working directory.
  const child = spawn(pythonProgram, words, { cwd: server.folder, stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (piece) => (output += piece));
  const [code] = await once(child, 'close');
  assert.equal(code, 0, output);
  const [, selected, all] = /Selected: (\d+)\/(\d+)/.exec(output);
  assert.equal(Number(selected), Number(all) - 3, output);
});
