// Runs `tidemark flight` as a separate process.

import { readFileSync } from 'node:fs';

import { freePort } from '../../scripts/dev-server.mjs';
import { endGroup, startGroup } from '../../scripts/processes.mjs';
import { at } from '../../scripts/project.mjs';

const ofRepository = at('packages', 'tidemark', 'bin', 'tidemark.mjs');

export async function flightProgram(t, to, { words = [], env = {}, program = ofRepository } = {}) {
  const port = await freePort();
  const line = [program, 'flight', '--listen', `127.0.0.1:${port}`, '--to', to, ...words];
  const child = startGroup(process.execPath, line, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => endGroup(child));
  let log = '';
  const events = () => log.split('\n').filter(Boolean).map((text) => JSON.parse(text));
  await new Promise((resolve, reject) => {
    const take = (piece) => {
      log += piece;
      if (log.includes('"started"')) resolve();
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.ended.then(() => reject(new Error(`it ended: ${log}`)));
  });
  const residentBytes = () => Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))[1]) * 1_024;
  return { port, address: `127.0.0.1:${port}`, child, events, residentBytes, stop: () => endGroup(child) };
}
