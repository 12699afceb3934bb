// Tests `tidemark flight` as a program: output, errors, TLS, log and exit code.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { freePort } from '../../scripts/dev-server.mjs';
import { commandProgram } from './commands.mjs';
import { flightProgram } from './flight_program.mjs';
import { ended, grpcClient } from './grpc_client.mjs';
import { certificate, grpcWebServer } from './grpc_web_server.mjs';
import { has } from './harness.mjs';

async function ranOut(words, env = {}) {
  const program = await commandProgram();
  return new Promise((resolve) => {
    execFile(program, ['flight', ...words], { env: { ...process.env, ...env } }, (error, output, said) =>
      resolve({ code: error ? error.code : 0, output, said }));
  });
}

test('each error is reported in one sentence', async (t) => {
  const taken = createServer();
  await new Promise((resolve) => taken.listen(0, '127.0.0.1', resolve));
  t.after(() => taken.close());
  const { port } = /** @type {import('node:net').AddressInfo} */ (taken.address());
  const refused = [
    [['--listen', '8788'], /^--listen is "8788": expected an address such as 127\.0\.0\.1:8787 or \[::1\]:8787\.$/m],
    [['--listen', '127.0.0.1:70000'], /^--listen is "127\.0\.0\.1:70000": expected an address /m],
    [['--listen', `127.0.0.1:${port}`], /^cannot listen at 127\.0\.0\.1:\d+: Address already in use \(os error 98\)\. Choose another address\.$/m],
    [['--to', 'localhost:8787'], /^"localhost:8787" is not an address: set --to to an address such as https:/m],
    [['--tls-cert', 'chain.pem'], /^--tls-cert and --tls-key belong together/m],
    [['something'], /^Unexpected argument "something"\. See tidemark flight --help\.$/m],
  ];
  for (const [words, says] of refused) {
    const { code, said } = await ranOut(words);
    assert.equal(code, 1, words.join(' '));
    assert.match(said, says);
  }
  const log = await ranOut(['--listen', `127.0.0.1:${await freePort()}`], { LOG_REQUESTS: 'some' });
  assert.deepEqual([log.code, log.said], [1, 'LOG_REQUESTS is "some": set it to "all", "errors" or "none".\n']);
  const help = await ranOut(['--help']);
  assert.deepEqual([help.code, help.output.includes('\nusage: tidemark flight [--listen ADDRESS] [--to URL] …\n')], [0, true]);
});

test('the log has a line without user data for each call, and SIGTERM ends the program after its calls have ended', async (t) => {
  const server = await grpcWebServer(t);
  const program = await flightProgram(t, server.url);
  const client = grpcClient(t, program.address);
  assert.equal((await client.ask('Count', Buffer.from('abc'), { authorization: 'Token a-secret' })).code, 0);
  assert.equal((await client.ask('First', Buffer.from('abc'))).code, 9);
  const call = client.bidi('Echo');
  const end = ended(call);
  call.write(Buffer.from('x'));
  await new Promise((resolve) => call.once('data', resolve));
  program.child.kill('SIGTERM');
  await sleep(100);
  assert.equal(program.child.exitCode, null, 'a call is under way');
  call.end();
  assert.equal((await end).code, 0);
  assert.equal((await program.child.ended).code, 0);
  const events = program.events();
  assert.deepEqual(events.map(({ event }) => event), ['started', 'call', 'call', 'call', 'stopped']);
  const { time, ms, ...first } = events[1];
  assert.ok(!Number.isNaN(Date.parse(time)) && ms >= 0);
  assert.deepEqual(first, { event: 'call', path: '/test.Stand/Count', grpc_status: 0, request_bytes: 8, answer_bytes: 29 });
  assert.equal(events[2].grpc_status, 9);
  assert.ok(!JSON.stringify(events).includes('a-secret'));
});

test('the program logs the calls that LOG_REQUESTS selects', async (t) => {
  const server = await grpcWebServer(t);
  for (const [chosen, logged] of [['errors', [9]], ['none', []]]) {
    const program = await flightProgram(t, server.url, { env: { LOG_REQUESTS: chosen } });
    const client = grpcClient(t, program.address);
    await client.ask('Count', Buffer.from('abc'));
    await client.ask('First', Buffer.from('abc'));
    client.client.close();
    await program.stop();
    const calls = program.events().filter(({ event }) => event === 'call');
    assert.deepEqual(calls.map(({ grpc_status: status }) => status), logged, chosen);
  }
});

test('the program uses TLS on both sides, and trusts the given certificates', async (t) => {
  if (!has(t, 'openssl', ['version'])) return;
  const tls = certificate(t);
  const server = await grpcWebServer(t, { protocol: 'h2', tls });
  const words = ['--tls-cert', tls.file, '--tls-key', tls.keyFile];
  const trusting = await flightProgram(t, server.url, { words, trusts: tls.file });
  assert.match(trusting.events()[0].address, /^grpc\+tls:/);
  const client = grpcClient(t, trusting.address, { ca: tls.cert });
  assert.equal(String(await client.unary('Count', Buffer.from('abc'))), '{"messages":1,"bytes":3}');
  assert.equal(server.calls[0].version, '2.0');
  const other = await flightProgram(t, server.url);
  const { code, details } = await grpcClient(t, other.address).ask('Count', Buffer.from('abc'));
  assert.equal(code, 14);
  assert.match(details, /^the server does not respond \(invalid peer certificate: /);
  assert.equal(server.calls.length, 1);
});
