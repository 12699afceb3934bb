// Tests npm start, and how settings reach the Worker.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { parse as yaml } from 'yaml';

import { keptToken } from '../../scripts/admin-token.mjs';
import { freePort } from '../../scripts/dev-server.mjs';
import { at } from '../../scripts/project.mjs';
import { hasChromium, launched } from './chromium.mjs';
import { PlainWorkerd, PlainWorkerHost, temporaryFolder, tidemark, token } from './harness.mjs';

function descendants(pid) {
  const children = new Map();
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    try {
      const parent = readFileSync(`/proc/${name}/stat`, 'utf8').match(/^.*\) \S (\d+)/s)[1];
      children.set(parent, [...(children.get(parent) ?? []), name]);
    } catch {
      // This process has already ended.
    }
  }
  const below = (id) => (children.get(id) ?? []).flatMap((child) => [child, ...below(child)]);
  return below(String(pid));
}

const isAlive = (pid) => {
  try {
    // A zombie process has ended, but its parent process has not yet read its exit code.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

/** Resolves when npm start has printed its greeting. `output` contains all output so far. */
async function npmStart(t, env) {
  const options = { cwd: at(), env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] };
  const child = spawn('npm', ['start'], options);
  const run = { child, output: '', pids: [] };
  t.after(() => {
    // After a failure, npm may have ended without the processes that it started.
    for (const pid of new Set([child.pid, ...run.pids, ...descendants(child.pid)])) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
  });
  run.ended = new Promise((resolve) => child.once('exit', resolve));
  await new Promise((resolve) => {
    child.stdout.on('data', (piece) => {
      run.output += piece;
      if (run.output.includes('Press Ctrl-C to stop.')) resolve();
    });
    child.stderr.on('data', (piece) => (run.output += piece));
    run.ended.then(resolve);
  });
  run.pids = descendants(child.pid);
  return run;
}

/** Checks the greeting of `npm start`, and that requests need the token. */
async function checkGreeting(run, { PORT, FLIGHT_PORT, ADMIN_TOKEN }) {
  const url = `http://127.0.0.1:${PORT}`;
  assert.match(run.output, new RegExp(`Tidemark is running at ${url}\n`));
  const secret = run.output.match(/^Token: (.{16,})$/m)?.[1];
  assert.equal(secret, ADMIN_TOKEN ?? keptToken(at('.dev.vars')));
  assert.ok(run.output.includes(`\nexport TIDEMARK_TOKEN='${secret}'\ncurl `), run.output);
  assert.equal(run.output.match(/^curl .*$/gm).length, 3, run.output);
  const proxy = `tidemark flight --listen 127.0.0.1:${FLIGHT_PORT} --to ${url}`;
  assert.ok(run.output.includes(`: ${proxy}\n`), run.output);
  const ask = async (given) => (await fetch(`${url}/query?q=SHOW+DATABASES`, { headers: { Authorization: `Token ${given}` } })).status;
  assert.deepEqual([await ask(secret), await ask(token)], [200, 401]);
}

test('npm start prints commands to paste, keeps its data, does not expose its token, and leaves no process running', async (t) => {
  const STATE_DIR = temporaryFolder(t);
  const own = { PORT: String(await freePort()), FLIGHT_PORT: String(await freePort()), STATE_DIR };
  // The second start reads the admin token from the environment.
  for (const [signal, more] of [['SIGTERM', {}], ['SIGINT', { ADMIN_TOKEN: 'given by the environment' }]]) {
    const env = { ...own, ...more };
    const run = await npmStart(t, env);
    await checkGreeting(run, env);
    const started = descendants(run.child.pid);
    assert.ok(started.length > 2, `only ${started}`);
    if (env.ADMIN_TOKEN) {
      const lines = started.filter(isAlive).map((id) => readFileSync(`/proc/${id}/cmdline`, 'utf8'));
      assert.ok(lines.every((line) => !line.includes(env.ADMIN_TOKEN)));
      assert.equal(statSync(join(STATE_DIR, 'secrets.env')).mode & 0o077, 0);
    }
    run.child.kill(signal);
    await run.ended;
    assert.deepEqual(started.filter(isAlive), [], signal);
  }
  assert.ok(readdirSync(STATE_DIR).includes('v3'), 'STATE_DIR holds the state');
});

test('the link of npm start opens the console with its token, and the console links to the documentation', async (t) => {
  if (!hasChromium(t)) return;
  const folder = temporaryFolder(t);
  const PORT = String(await freePort());
  const secret = 'a token & its #signs+';
  const run = await npmStart(t, { PORT, STATE_DIR: folder, ADMIN_TOKEN: secret, SQL: 'off' });
  const url = `http://127.0.0.1:${PORT}`;
  const link = run.output.match(/^http:\S+#token=\S+$/m)?.[0];
  assert.equal(link, `${url}/#token=${encodeURIComponent(secret)}`, run.output);
  const documented = async () => (await (await fetch(`${url}/`)).text()).includes('Documentation');
  for (let left = 240; !(await documented()); left -= 1) {
    assert.ok(left > 0, run.output);
    await sleep(500);
  }
  const browser = await launched(t);
  const requests = [];
  const opened = async () => {
    const page = await browser.newPage();
    page.setDefaultTimeout(20_000);
    page.on('request', (request) => requests.push(request.url()));
    return page;
  };
  const isSignedIn = async (page, db) => {
    await page.getByRole('button', { name: 'Token set' }).waitFor();
    await page.getByRole('button', { name: 'Load sample data' }).waitFor();
    const address = new URL(page.url());
    assert.equal(new URLSearchParams(address.hash.slice(1)).get('db'), db);
    assert.equal(address.search, '');
    const devtools = await page.context().newCDPSession(page);
    const { entries } = await devtools.send('Page.getNavigationHistory');
    assert.ok(entries.every((entry) => !entry.url.includes('token')), JSON.stringify(entries));
  };
  const page = await opened();
  await page.goto(link);
  await isSignedIn(page, null);
  // The link also works in an open console, and does not change the rest of the address.
  const open = await opened();
  await open.goto(`${url}/`);
  await open.locator('.welcome input').waitFor();
  await open.goto(`${link}&db=plant`);
  await isSignedIn(open, 'plant');
  await page.reload();
  await isSignedIn(page, null);
  // A link from elsewhere replaces the token only if the user agrees.
  const asked = open.waitForEvent('dialog').then(async (dialog) => {
    await dialog.dismiss();
    return dialog.message();
  });
  await open.goto(`${url}/#token=foreign&db=plant`);
  // A reload would close the dialog.
  assert.equal(await asked, 'This link contains another token. Use it instead of the token of this tab?');
  await open.reload();
  await isSignedIn(open, 'plant');
  assert.ok(requests.every((address) => !address.includes('token')), requests.join('\n'));
  await page.getByRole('link', { name: 'Documentation' }).click();
  await page.getByRole('link', { name: 'Metrics and alerts' }).first().click();
  await page.getByRole('heading', { name: 'TidemarkTroubles' }).waitFor();
  const { groups } = yaml(readFileSync(at('examples', 'prometheus', 'alerts.yml'), 'utf8'));
  for (const { alert, annotations } of groups.flatMap(({ rules }) => rules)) {
    const runbook = annotations.runbook_url.replace('http://127.0.0.1:8787', url);
    const section = new URL(runbook).hash.slice(1);
    assert.ok((await (await fetch(runbook)).text()).includes(`<h3 id="${section}"`), `${alert}: ${runbook}`);
  }
  run.child.kill('SIGTERM');
  await run.ended;
});

test('the token of npm start is random, created once, and kept', (t) => {
  const folder = temporaryFolder(t);
  const made = ['a', 'b'].map((name) => keptToken(join(folder, name)));
  assert.notEqual(made[0], made[1]);
  for (const [at, name] of ['a', 'b'].entries()) {
    assert.match(made[at], /^[0-9a-f]{32}$/);
    assert.equal(keptToken(join(folder, name)), made[at]);
    assert.equal(statSync(join(folder, name)).mode & 0o077, 0);
  }
  const file = join(folder, 'c');
  const kept = (line) => {
    writeFileSync(file, `OTHER=1\n${line}\nLAST=2\n`);
    return keptToken(file);
  };
  assert.equal(kept('ADMIN_TOKEN = "a token of its own"'), 'a token of its own');
  for (const line of ['ADMIN_TOKEN=', '']) {
    const secret = kept(line);
    assert.match(secret, /^[0-9a-f]{32}$/);
    assert.match(readFileSync(file, 'utf8'), new RegExp(`^OTHER=1\n+LAST=2\nADMIN_TOKEN=${secret}\n$`));
  }
  assert.throws(() => kept('ADMIN_TOKEN=short'), /^.*ADMIN_TOKEN has 5 characters.* at least 16 characters\./);
});

test('npm start reports in one sentence that the port is in use', async (t) => {
  const server = await tidemark(t, {}, PlainWorkerd);
  const run = await npmStart(t, { PORT: String(server.port) });
  assert.equal(await run.ended, 1);
  const last = run.output.trimEnd().split('\n').at(-1);
  assert.equal(
    last,
    `Port ${server.port} is in use: stop the program that listens there, or set PORT to another port.`,
  );
  assert.doesNotMatch(run.output, /npm packages/, 'the builds have not begun');
});

test('settings are passed to the Worker, and an invalid setting is reported by its name', async (t) => {
  const origin = 'https://example.org:8443';
  const open = await tidemark(t, { vars: { CORS_ORIGINS: `https://a.example,${origin}` } });
  const wrong = await tidemark(t, { vars: { DEFAULT_SHARDS: 'many' } }, PlainWorkerHost);
  const allowed = await open.fetch('/ping', { headers: { Origin: origin } });
  assert.equal(allowed.headers.get('Access-Control-Allow-Origin'), origin);
  const other = await open.fetch('/ping', { headers: { Origin: 'https://example.org' } });
  assert.equal(other.headers.get('Access-Control-Allow-Origin'), null);
  assert.equal(other.status, 403);
  assert.match((await other.json()).error, /page of "https:\/\/example.org", .* CORS_ORIGINS/);
  const own = await open.fetch('/ping', { headers: { Origin: open.url } });
  assert.equal(own.status, 204);
  const refused = await wrong.fetch('/query?q=SHOW+DATABASES');
  assert.match(await refused.text(), /DEFAULT_SHARDS.*many/);
  assert.equal(refused.status, 503);
});

test('without a secret nothing is served, and with a secret only requests that contain it', async (t) => {
  const closed = await tidemark(t, { secret: null }, PlainWorkerHost);
  const refused = await closed.fetch('/query?q=SHOW+DATABASES');
  assert.equal(refused.status, 503);
  assert.match(await refused.text(), /ADMIN_TOKEN/);
  assert.equal((await closed.fetch('/ping')).status, 204);
  const unhealthy = await closed.fetch('/health');
  assert.deepEqual([unhealthy.status, (await unhealthy.json()).status], [503, 'fail']);

  const short = await tidemark(t, { secret: 'dev-token' }, PlainWorkerHost);
  const guessable = await fetch(`${short.url}/query?q=DROP+DATABASE+d&p=dev-token`, { method: 'POST' });
  assert.equal(guessable.status, 503);
  assert.match(await guessable.text(), /ADMIN_TOKEN has only 9 characters.* at least 16/);

  const server = await tidemark(t, {}, PlainWorkerd);
  const healthy = await fetch(`${server.url}/health`);
  assert.deepEqual([healthy.status, (await healthy.json()).status], [200, 'pass']);
  const statusWith = async (Authorization) =>
    (await fetch(`${server.url}/query?q=SHOW+DATABASES`, { headers: { Authorization } })).status;
  assert.equal(await statusWith('Token another-of-the-tests'), 401);
  assert.equal(await statusWith(`Bearer ${token}`), 200);
  assert.equal(await statusWith(`Basic ${btoa(`anyone:${token}`)}`), 200);
});

test('a rejected body is still read, so that its sender gets the reason', async (t) => {
  const server = await tidemark(t);
  const big = Buffer.alloc(30_000_000, 'x');
  const announced = await server.write(big, { db: 'd' });
  assert.equal(announced.status, 413);
  const pieces = new ReadableStream({
    start(controller) {
      for (let at = 0; at < big.length; at += 1 << 20) {
        controller.enqueue(big.subarray(at, at + (1 << 20)));
      }
      controller.close();
    },
  });
  const init = { method: 'POST', body: pieces, duplex: 'half' };
  const streamed = await server.fetch('/write?db=d', init);
  assert.equal(streamed.status, 413);
  assert.match(await streamed.text(), /too large/);
});
