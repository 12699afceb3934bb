// A registry that serves the installed npm packages of this repository, so that tests can install
// packages without a network.

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { at } from '../../scripts/project.mjs';
import { listening } from './harness.mjs';

/** Returns the registry's metadata of an installed package, with only the installed version. */
function document(name, url) {
  const about = JSON.parse(readFileSync(at('node_modules', name, 'package.json'), 'utf8'));
  const dist = { tarball: `${url}/-/${encodeURIComponent(name)}` };
  return { name, 'dist-tags': { latest: about.version }, versions: { [about.version]: { ...about, dist } } };
}

function tarball(name, response) {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-registry-'));
  symlinkSync(at('node_modules', name), join(folder, 'package'));
  const tar = spawn('tar', ['-C', folder, '-chf', '-', 'package'], { stdio: ['ignore', 'pipe', 'inherit'] });
  tar.stdout.pipe(response);
  tar.once('close', () => rmSync(folder, { recursive: true }));
}

/** Serves until the test `t` ends. Resolves to the address. */
export async function packageRegistry(t) {
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url.slice(1));
    try {
      if (path.startsWith('-/')) {
        const name = decodeURIComponent(path.slice(2));
        // npm also requests packages for other platforms. They are not installed.
        statSync(at('node_modules', name));
        return tarball(name, response);
      }
      response.end(JSON.stringify(document(path, `http://127.0.0.1:${server.address().port}`)));
    } catch {
      response.writeHead(404).end('{}');
    }
  });
  return listening(t, server);
}
