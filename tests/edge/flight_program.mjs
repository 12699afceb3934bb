// Runs `tidemark flight` as a separate process.

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { freePort } from '../../scripts/dev-server.mjs';
import { endGroup, startGroup } from '../../scripts/processes.mjs';
import { commandProgram } from './commands.mjs';

/**
 * Starts `tidemark flight` in front of the server `to`. `trusts` is a file with the server's
 * certificate. `limits` replaces default limits of the program.
 */
export async function flightProgram(t, to, { words = [], env = {}, trusts = '', limits = {} } = {}) {
  const port = await freePort();
  const line = ['flight', '--listen', `127.0.0.1:${port}`, '--to', String(to), ...words];
  const more = { FLIGHT_LIMITS: JSON.stringify(limits), ...(trusts && { SSL_CERT_FILE: trusts }), ...env };
  const child = startGroup(await commandProgram(), line, { env: { ...process.env, ...more }, stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => endGroup(child));
  let log = '';
  const events = () => log.slice(0, log.lastIndexOf('\n') + 1).split('\n').filter(Boolean).map((text) => JSON.parse(text));
  await new Promise((resolve, reject) => {
    const take = (piece) => {
      log += piece;
      if (log.includes('"started"')) resolve();
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.ended.then(() => reject(new Error(`it ended: ${log}`)));
  });
  const calls = () => events().filter(({ event }) => event === 'call');
  /** The program logs a call after the client has received its status. */
  const callsOf = async (count) => {
    while (calls().length < count) await sleep(5);
    return calls();
  };
  const residentBytes = () => Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))[1]) * 1_024;
  return { port, address: `127.0.0.1:${port}`, child, events, calls, callsOf, residentBytes, stop: () => endGroup(child) };
}
