// Runs commands of the native program, such as query, import, export, token, backup, restore and
// verify.

import { spawn } from 'node:child_process';

import { buildNative, nativeProgram } from '../../scripts/native.mjs';
import { token } from './harness.mjs';

/** @type {Promise<void> | undefined} */
let isBuilt;

/** Builds the native program if necessary. Resolves to the program's path. */
export async function commandProgram() {
  await (isBuilt ??= buildNative());
  return nativeProgram();
}

/**
 * Runs `tidemark WORDS…`. Resolves to `{ code, output, said }`. `onStart` receives the process.
 * @param {string[]} words
 * @param {{ url?: string, secret?: string, input?: string, cwd?: string, onStart?: (child:
 *   import('node:child_process').ChildProcess) => void }} options
 * @returns {Promise<{ code: number | null, output: string, said: string }>}
 */
export async function command(words, { url, secret = token, input = '', cwd, onStart = () => {} } = {}) {
  const env = { ...process.env, TIDEMARK_TOKEN: secret, ...(url && { TIDEMARK_URL: url }) };
  const child = spawn(await commandProgram(), words, { cwd, env });
  const texts = { output: '', said: '' };
  child.stdout.on('data', (piece) => (texts.output += piece));
  child.stderr.on('data', (piece) => (texts.said += piece));
  child.stdin.on('error', () => {}); // The program may end before it has read all input.
  child.stdin.end(input);
  onStart(child);
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, ...texts })));
}
