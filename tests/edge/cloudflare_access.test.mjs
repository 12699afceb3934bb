// Tests Cloudflare Access on the real runtime, with local keys and a local server that publishes
// the keys.

import assert from 'node:assert/strict';
import { createSign, generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { test } from 'node:test';

import { noProblems, opened } from './console.mjs';
import { listening, tidemark, WorkerHost } from './harness.mjs';

const audience = 'a1b2c3';
const base64url = (text) => Buffer.from(text).toString('base64url');

function key(kid) {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid, alg: 'RS256', use: 'sig' };
  const sign = (claims, head = {}) => {
    const signed = [{ alg: 'RS256', kid, typ: 'JWT', ...head }, claims]
      .map((part) => base64url(JSON.stringify(part)))
      .join('.');
    return `${signed}.${createSign('RSA-SHA256').update(signed).sign(privateKey, 'base64url')}`;
  };
  return { jwk, sign };
}

/** Starts a server that publishes the keys of an Access team. `asked` is the number of requests. */
async function startTeam(t, keys) {
  const team = { keys, asked: 0, status: 200 };
  const server = createServer((request, response) => {
    team.asked += 1;
    team.path = request.url;
    response.writeHead(team.status, { 'Content-Type': 'application/json', Location: '/elsewhere' });
    response.end(JSON.stringify({ keys: team.keys.map(({ jwk }) => jwk), public_certs: [] }));
  });
  team.url = await listening(t, server);
  team.claims = (more = {}) => {
    const now = Math.floor(Date.now() / 1000);
    const claims = { aud: [audience], iss: team.url, iat: now, nbf: now, exp: now + 3_600 };
    return { ...claims, email: 'ann@example.com', sub: 'ann', type: 'app', ...more };
  };
  return team;
}

const settings = (team) => ({ vars: { ACCESS_TEAM: team.url, ACCESS_AUDIENCE: audience } });
const asserting = (assertion, more = {}) => ({ 'Cf-Access-Jwt-Assertion': assertion, ...more });

async function status(server, headers, path = '/api/v3/configure/token', init = {}) {
  const response = await fetch(`${server.url}${path}`, { ...init, headers });
  await response.arrayBuffer();
  return response.status;
}

test('only a token that the team signed for this application is accepted', async (t) => {
  const [own, next, stranger] = [key('one'), key('two'), key('one')];
  const team = await startTeam(t, [own]);
  const server = await tidemark(t, settings(team), WorkerHost);
  const now = Math.floor(Date.now() / 1000);
  assert.equal(await status(server, {}), 401);
  const refused = [
    'nonsense',
    own.sign(team.claims({ aud: 'another' })),
    own.sign(team.claims({ iss: 'https://another.cloudflareaccess.com' })),
    own.sign(team.claims({ exp: now - 1 })),
    own.sign(team.claims({ nbf: now + 600 })),
    own.sign(team.claims(), { alg: 'none' }),
  ];
  for (const assertion of refused) assert.equal(await status(server, asserting(assertion)), 401);
  assert.equal(team.asked, 0, 'nobody is asked for what does not hold');

  const good = own.sign(team.claims());
  const several = Array.from({ length: 8 }, () => status(server, asserting(good)));
  assert.deepEqual(await Promise.all(several), Array(8).fill(200));
  assert.equal(team.path, '/cdn-cgi/access/certs');
  assert.equal(team.asked, 1, 'whoever comes meanwhile waits');
  assert.equal(await status(server, asserting(stranger.sign(team.claims()))), 401, 'another key');
  const [head, , signature] = good.split('.');
  const changed = [head, base64url(JSON.stringify(team.claims({ sub: 'bob' }))), signature];
  assert.equal(await status(server, asserting(changed.join('.'))), 401);

  const query = (q) => `/query?${new URLSearchParams({ q })}`;
  const post = { method: 'POST' };
  assert.equal(await status(server, asserting(good), query('CREATE DATABASE db'), post), 200);
  // A browser sends Access's cookie even if another page contains the link, so a link must not
  // write.
  assert.equal(await status(server, asserting(good), query('DROP DATABASE db')), 405);
  const lines = { method: 'POST', body: 'm v=1' };
  assert.equal(await status(server, asserting(good), '/write?db=db', lines), 204);
  // If a request also has other credentials, the server uses only those credentials.
  const wrong = asserting(good, { Authorization: 'Token wrong' });
  assert.equal(await status(server, wrong), 401);
  assert.equal(await status(server, asserting('nonsense', server.headers)), 200);

  // The server looks up an unknown key at most once a minute.
  team.keys = [own, next];
  for (let at = 0; at < 5; at += 1) {
    assert.equal(await status(server, asserting(next.sign(team.claims()))), 401);
  }
  assert.equal(team.asked, 1);
});

test('a foreign page cannot use the access of its visitor', async (t) => {
  const own = key('one');
  const team = await startTeam(t, [own]);
  const { vars } = settings(team);
  // A page of another origin may read, but only with a token.
  const server = await tidemark(t, { vars: { ...vars, CORS_ORIGINS: '*' } }, WorkerHost);
  const good = own.sign(team.claims());
  const drop = ['/query?q=CREATE+DATABASE+evil', { method: 'POST' }];
  const from = (headers) => status(server, asserting(good, headers), ...drop);
  for (const headers of [
    { Origin: 'https://evil.example' },
    { Origin: 'null' },
    { 'Sec-Fetch-Site': 'cross-site' },
    { 'Sec-Fetch-Site': 'same-site' },
  ]) {
    assert.equal(await from(headers), 401, JSON.stringify(headers));
  }
  assert.deepEqual(await server.rows('SHOW DATABASES'), []);
  assert.equal(await from({ Origin: server.url, 'Sec-Fetch-Site': 'same-origin' }), 200);
  assert.deepEqual(await server.rows('SHOW DATABASES'), [['evil']]);
});

test('without the keys every request is rejected, and without both settings nothing is served', async (t) => {
  const own = key('one');
  const team = await startTeam(t, [own]);
  const server = await tidemark(t, settings(team), WorkerHost);
  const good = asserting(own.sign(team.claims()));
  for (const answer of [302, 500]) {
    team.status = answer;
    const response = await fetch(`${server.url}/api/v3/configure/token`, { headers: good });
    const text = await response.text();
    assert.equal(response.status, 503, text);
    assert.match(text, /the token cannot be verified: .*team's keys/);
    assert.ok(Number(response.headers.get('Retry-After')) > 0);
  }
  assert.equal(team.asked, 1, 'and not at once again, nor where a redirection leads');
  assert.equal(await status(server, server.headers), 200, 'tokens do not notice');

  const half = await tidemark(t, { vars: { ACCESS_TEAM: team.url } }, WorkerHost);
  const response = await half.fetch('/query?q=SHOW+DATABASES');
  assert.equal(response.status, 503);
  assert.match(await response.text(), /ACCESS_AUDIENCE/);
  const none = await tidemark(t, {}, WorkerHost);
  assert.equal(await status(none, good), 401, 'no settings, no Access');
});

test('the console needs no token behind Access', async (t) => {
  const own = key('one');
  const team = await startTeam(t, [own]);
  const console_ = await opened(t, { signedIn: false, hash: null, options: settings(team), Kind: WorkerHost });
  if (!console_) return;
  const { context, page, go } = console_;
  await context.setExtraHTTPHeaders(asserting(own.sign(team.claims())));
  await go();
  await page.getByRole('button', { name: 'Load sample data' }).click();
  await page.getByRole('button', { name: /per week/ }).waitFor();
  await page.getByRole('button', { name: 'Signed in by Access' }).waitFor();
  noProblems(console_);
  // After the user's access has ended, the console requests a token again.
  await context.setExtraHTTPHeaders(asserting('gone'));
  await page.reload();
  await page.locator('.welcome input').waitFor();
  await page.getByRole('button', { name: 'Enter token' }).waitFor();
});
