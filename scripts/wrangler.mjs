// npm run wrangler -- …: the wrangler of the locked version, by a Node that it accepts.

import { spawn } from 'node:child_process';

import { finishWith, newNode, wrangler } from './project.mjs';
import { packages } from './setup.mjs';

await finishWith(async () => {
  await packages();
  // In this process's own group, and with its terminal: wrangler asks for secrets.
  const args = [wrangler, ...process.argv.slice(2)];
  const child = spawn(newNode(), args, { stdio: 'inherit' });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 1));
  });
});
