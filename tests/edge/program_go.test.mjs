// Tests influxdb1-client for Go, in the version of Debian's package.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';

import { run } from '../../scripts/processes.mjs';
import { at } from '../../scripts/project.mjs';
import { PlainWorkerd, tidemark, token } from './harness.mjs';
import { isInstalled, quietly } from './program.mjs';

/** Debian's folder of Go libraries. */
const library = '/usr/share/gocode';
const source = 'tests/edge/go/client.go';
const binary = at('.cache', 'go', 'client');

const hasClient = (t) =>
  isInstalled(t, "Go's influxdb1-client", {
    stamp: '.cache/stamps/go',
    inputs: [source],
    outputs: [binary],
    work: async () => {
      mkdirSync(dirname(binary), { recursive: true });
      const env = { GO111MODULE: 'off', GOPATH: library, GOCACHE: at('.cache', 'go', 'build'), CGO_ENABLED: '0' };
      await quietly('go', ['build', '-o', binary, at(source)], { env });
    },
  });

test("the Go package influxdb1-client writes and queries", async (t) => {
  if (!(await hasClient(t))) return;
  const server = await tidemark(t, {}, PlainWorkerd);
  const { code, output } = await run(binary, [server.url, token], { quiet: true });
  assert.equal(code, 0, output);
  const { wrong, conflict, version, ...found } = JSON.parse(output);
  assert.match(version, /^1\./);
  assert.match(wrong, /^error parsing query: found EOF, expected identifier at line 1, char 15$/);
  assert.match(conflict, /field type conflict: input field \\"float\\"/);
  const [first, second] = ['1700000000123456789', '1700000000123456790'];
  const integer = '9007199254740993';
  const values = `x, y=z true 1.5 ${integer} say "hi", ünïcode`;
  assert.deepEqual(found, {
    created: [],
    policy: [],
    types: [`${first} ${values}`, `${second} ${values}`],
    kept: [`${first} ${integer}`],
    bound: ['0 2'],
    chunks: 2,
    joined: [`${first} ${integer}`, `${second} ${integer}`],
  });
});
