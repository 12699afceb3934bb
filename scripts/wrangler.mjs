// npm run wrangler -- …: runs the locked wrangler version with a supported Node version.

import { spawn } from 'node:child_process';

import { finishWith, newNode, wrangler } from './project.mjs';
import { packages } from './setup.mjs';

await finishWith(async () => {
  await packages();
  // wrangler prompts for secrets, so it must run in this process's group and terminal.
  const args = [wrangler, ...process.argv.slice(2)];
  const child = spawn(newNode(), args, { stdio: 'inherit' });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 1));
  });
});
