// Tests that `tidemark export` follows the positions at the ends of responses, with a stand-in for the server.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { test } from 'node:test';

import { Connection } from '../../packages/tidemark/lib/connection.mjs';
import { exportedLines } from '../../packages/tidemark/lib/exported_lines.mjs';
import { at } from '../../scripts/project.mjs';

/** Reads a body in pieces of `size` bytes. Resolves to its points and to the next position. */
async function read(text, size) {
  const pieces = Array.from({ length: Math.ceil(text.length / size) }, (_, n) => Buffer.from(text.slice(n * size, (n + 1) * size)));
  const lines = exportedLines((async function* () { yield* pieces; })());
  let points = '';
  for (;;) {
    const { value, done } = await lines.next();
    if (done) return { points, after: value };
    points += value;
  }
}

test('only the last line of a response is a position', async () => {
  const point = 'm v="two\n# after: 1,2,m" 1\n';
  for (const size of [1, 2, 7, 1000]) {
    assert.deepEqual(await read('', size), { points: '', after: null });
    assert.deepEqual(await read(point, size), { points: point, after: null });
    assert.deepEqual(await read(`${point}# after: ,,m,1,k,%22\n`, size), { points: point, after: ',,m,1,k,%22' });
    assert.deepEqual(await read('# after: ,,m\n', size), { points: '', after: ',,m' });
    assert.deepEqual(await read(`# after: ,,m\n${point}`, size), { points: `# after: ,,m\n${point}`, after: null });
  }
});

/**
 * Serves the response that `pages` contains for the parameter `after`: a text, or a list with a status and a text for
 * each request. Resolves to the output of `tidemark export`.
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
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  t.after(() => (server.close(), server.closeAllConnections()));
  const { port } = /** @type {any} */ (server.address());
  const env = { ...process.env, TIDEMARK_TOKEN: 'token-of-the-tests', TIDEMARK_URL: `http://127.0.0.1:${port}` };
  const program = spawn(process.execPath, [at('packages', 'tidemark', 'bin', 'tidemark.mjs'), 'export', '--database', 'd'], { env });
  let [out, errors] = ['', ''];
  program.stdout.on('data', (piece) => (out += piece));
  program.stderr.on('data', (piece) => (errors += piece));
  const code = await new Promise((resolve) => program.once('close', resolve));
  return { code, out, errors };
}

const head = '# DML\n# CONTEXT-DATABASE: d\n';

test('an export consists of the points of all responses', async (t) => {
  const whole = await exported(t, { '': 'a v=1 1\n# after: p,,,a,1,k,%20+%2C\n', 'p,,,a,1,k,%20+%2C': 'b v=1 1\n' });
  assert.deepEqual(whole, { code: 0, out: `${head}a v=1 1\nb v=1 1\n`, errors: '' });
  const endless = await exported(t, { '': 'a v=1 1\n# after: p,,,a\n', 'p,,,a': '# after: p,,,a\n' });
  assert.equal(endless.code, 1);
  assert.match(endless.errors, /The export failed: The server returned the same position twice/);
});

test('a position that is longer than a URL may be, and a temporary failure, do not end an export', async (t) => {
  const long = `p,,,a,1,k,${'x'.repeat(100_000)}`;
  const whole = await exported(t, { '': [503, `a v=1 1\n# after: ${long}\n`], [long]: [429, 503, 'b v=1 1\n'] });
  assert.deepEqual(whole, { code: 0, out: `${head}a v=1 1\nb v=1 1\n`, errors: '' });
  const refused = await exported(t, { '': 'a v=1 1\n# after: p,,,a\n', 'p,,,a': [422] });
  assert.equal(refused.code, 1);
  assert.match(refused.errors, /The export failed: The server returned 422: try again/);
});

test('only the beginning of a response has a time limit', async (t) => {
  const server = createServer((incoming, outgoing) => {
    if (incoming.url === '/never') return;
    outgoing.write('first ');
    setImmediate(() => process.once('later', () => outgoing.end('second')));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  t.after(() => (server.close(), server.closeAllConnections()));
  const { port } = /** @type {any} */ (server.address());
  process.env.TIDEMARK_TOKEN = 'token-of-the-tests';
  const connection = new Connection({ url: `http://127.0.0.1:${port}`, data: '' });
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const response = await connection.fetch('/slow');
  // An export may take hours.
  t.mock.timers.tick(24 * 3_600_000);
  process.emit(/** @type {any} */ ('later'), undefined);
  assert.equal(await response.text(), 'first second');
  const never = connection.fetch('/never');
  t.mock.timers.tick(300_000);
  await assert.rejects(never, /does not respond \(no response for 300 s\)/);
});
