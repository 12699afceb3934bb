// Builds and starts the native host, for tests and benchmarks.

import { mkdirSync, writeSync } from 'node:fs';
import { join } from 'node:path';

import { endGroup, must, startGroup } from './processes.mjs';
import { targetFolder } from './project.mjs';

/** `profile` is `debug` for the tests, or `native` for the program of a release. */
export const nativeProgram = (profile = 'debug') => join(targetFolder, profile, 'tidemark');

export async function buildNative(profile = 'debug') {
  const args = ['build', '--locked', '-p', 'tidemark-native', '--profile', profile === 'debug' ? 'dev' : profile];
  await must('Building the native host', 'cargo', args);
}

/**
 * Starts the program and waits until it responds. `data` is the data folder, and `vars` are the
 * settings. `secret` is the admin token, or null. `log` is a file descriptor for the request log,
 * or null for no log.
 */
export async function startNative({ port, data, vars = {}, secret, backups = false, profile = 'debug', log = null }) {
  const line = ['serve', '--listen', `127.0.0.1:${port}`, '--data', data];
  if (backups) {
    mkdirSync(data, { recursive: true });
    line.push('--backups', join(data, 'backups'));
  }
  const env = { ...process.env, LOG_REQUESTS: log === null ? 'none' : 'all', ...vars, ...(secret ? { ADMIN_TOKEN: secret } : {}) };
  const child = startGroup(nativeProgram(profile), line, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  const started = new Promise((resolve, reject) => {
    child.stdout.on('data', (piece) => {
      if (log !== null) writeSync(log, piece);
      said += piece;
      const end = said.indexOf('\n');
      if (end < 0) return;
      resolve(JSON.parse(said.slice(0, end)));
      if (said.length > 65_536) said = said.slice(0, end + 1);
    });
    child.ended.then(() => reject(new Error(`The native host ended before it was ready: ${said}`)));
  });
  const { url, flight } = await started;
  return { url, flight, child, stop: () => endGroup(child) };
}
