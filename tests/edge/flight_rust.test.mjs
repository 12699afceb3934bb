// Tests the Flight SQL client of arrow-rs with every case of flight_cases.mjs. The first
// compilation of tonic and arrow-flight takes about two minutes on one processor. The product
// contains neither of these crates.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';

import { run } from '../../scripts/processes.mjs';
import { targetFolder } from '../../scripts/project.mjs';
import { columns, comesBack, conversation, judge, judgeRestart, served } from './flight_cases.mjs';
import { has, token, withoutSql } from './harness.mjs';

const program = join(targetFolder, 'debug', 'flight-client');

const options = { skip: withoutSql, timeout: 1_800_000 };

/**
 * Compiles the program. If the registry is unreachable, skips the test, or fails if all programs
 * are required.
 */
async function compiled(t) {
  if (!has(t, 'cargo')) return false;
  const fetched = await run('cargo', ['fetch', '--locked'], { quiet: true });
  if (fetched.code !== 0 && process.env.TIDEMARK_REQUIRE_PROGRAMS !== '1') {
    t.skip('the registry of crates is not there');
    return false;
  }
  const from = performance.now();
  const { code, output } = await run('cargo', ['build', '--quiet', '--locked', '-p', 'flight-client'], { quiet: true });
  assert.equal(code, 0, output);
  t.diagnostic(`compiled in ${Math.round((performance.now() - from) / 1_000)} s`);
  return true;
}

const arrow = { bool: 'Boolean', double: 'Float64', string: 'Utf8', int64: 'Int64', 'timestamp[ns]': 'Timestamp(ns)', uint64: 'UInt64' };

const ofRust = {
  own: {
    types: ([found, rows]) => {
      assert.deepEqual(found, columns.map(([name, type]) => [name, arrow[type]]));
      assert.deepEqual(rows.map(({ host, f, s, b }) => [host, f, s, b]), [['a', 1.5, 'x', true], ['b', 2.5, null, null], [null, null, 'ünïcode', null]]);
      assert.deepEqual(rows.map(({ time }) => time), ['2023-11-14T22:13:20', '2023-11-14T22:13:21', '2023-11-14T22:13:22']);
    },
    empty: (seen) => assert.deepEqual(seen, [[['f', 'Float64'], ['host', 'Utf8']], []]),
    handshake: (rows) => assert.equal(rows, 1),
    bound: (seen) => assert.deepEqual(seen, [['$1', '$2', '$3', '$4'], [{ n: 1 }]]),
    // Catalogs, schemas, table types, tables with their columns, and server facts.
    lists: (seen) => assert.deepEqual(seen, [1, 3, 2, 5, 2]),
  },
};

function asked(action, port, other) {
  return new Promise((resolve, reject) => {
    execFile(program, [action, String(port), token, other], { timeout: 600_000 }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${error.message}\n${stderr}`));
      else resolve(JSON.parse(stdout));
    });
  });
}

test("the Flight SQL client of arrow-rs works", options, async (t) => {
  if (!(await compiled(t))) return;
  const { server, port, other } = await served(t);
  await t.test('every case', async () => judge('arrow-rs', await asked('cases', port, other), ofRust));
  await t.test('a server that is temporarily down', async (one) => {
    const { next, tell } = conversation(one, program, ['restarted', String(port), token, other]);
    assert.equal(await next(), 'away');
    await server.kill();
    tell();
    assert.equal(await next(), 'back');
    await comesBack(server);
    tell();
    judgeRestart('arrow-rs', JSON.parse(await next()));
  });
});
