// Tests that `tidemark export` continues at the position in each response. A stand-in replaces the
// server.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';

import { command } from './commands.mjs';
import { listening } from './harness.mjs';

/**
 * Runs `tidemark export` against a stand-in and resolves to its output. The stand-in finds its
 * response in `pages`, by the request's parameter `after`. The value in `pages` is the body. If it
 * is a list, each request gets the next element: a body, or a number as the error status.
 */
async function exported(t, pages) {
  const server = createServer(async (incoming, outgoing) => {
    const { searchParams } = new URL(incoming.url ?? '', 'http://127.0.0.1');
    let body = '';
    for await (const piece of incoming) body += piece;
    const after = incoming.method === 'POST' ? new URLSearchParams(body).get('after') : searchParams.get('after');
    const page = pages[after ?? 'none'];
    const next = Array.isArray(page) ? page.shift() : page;
    if (typeof next === 'number') outgoing.statusCode = next;
    outgoing.end(typeof next === 'number' ? '{"error":"try again"}' : next);
  });
  const { code, output, said } = await command(['export', '--database', 'd'], { url: await listening(t, server) });
  return { code, out: output, errors: said };
}

const head = '# DML\n# CONTEXT-DATABASE: d\n';

test('an export contains the points of all responses', async (t) => {
  const whole = await exported(t, { '': 'a v=1 1\n# after: p,,,a,1,k,%20+%2C\n', 'p,,,a,1,k,%20+%2C': 'b v=1 1\n' });
  assert.deepEqual(whole, { code: 0, out: `${head}a v=1 1\nb v=1 1\n`, errors: '' });
  const endless = await exported(t, { '': 'a v=1 1\n# after: p,,,a\n', 'p,,,a': '# after: p,,,a\n' });
  assert.equal(endless.code, 1);
  assert.match(endless.errors, /The export failed: The server returned the same position twice/);
});

test('an export continues after a temporary failure, and with a position that is too long for a URL', async (t) => {
  const long = `p,,,a,1,k,${'x'.repeat(100_000)}`;
  const whole = await exported(t, { '': [503, `a v=1 1\n# after: ${long}\n`], [long]: [429, 503, 'b v=1 1\n'] });
  assert.deepEqual(whole, { code: 0, out: `${head}a v=1 1\nb v=1 1\n`, errors: '' });
  const refused = await exported(t, { '': 'a v=1 1\n# after: p,,,a\n', 'p,,,a': [422] });
  assert.equal(refused.code, 1);
  assert.match(refused.errors, /The export failed: The server returned 422: try again/);
});
