// The recorded query scripts, asked of a whole server over HTTP, with one shard and with four.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { replay } from '../record/replay.mjs';
import { tidemark, token } from './harness.mjs';

for (const shards of ['1', '4']) {
  test(`every query script is answered as recorded, with ${shards} shard(s)`, async (t) => {
    const db = await tidemark(t, { vars: { DEFAULT_SHARDS: shards } });
    const { files, passed, known, failures } = await replay(db.url, token);
    t.diagnostic(`${files} scripts: ${passed} steps passed, ${known} are known to fail`);
    assert.equal(failures.length, 0, failures.join('\n'));
    assert.ok(passed > 0);
  });
}
