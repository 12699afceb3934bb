// A simple server for static files.

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { Readable } from 'node:stream';

import { listening } from './harness.mjs';

const types = {
  '.css': 'text/css',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
};

/**
 * Serves `folder` at `/somewhere/`. `asked` lists the requested paths. `instead` maps names of
 * files to replacements: a text, bytes, a function that returns an iterable of bytes, or null for a
 * missing file.
 */
export async function staticHost(t, folder) {
  const below = '/somewhere/';
  const asked = [];
  const instead = new Map();
  const server = createServer(async ({ url }, response) => {
    const path = normalize(url.split('?')[0]);
    asked.push(path);
    const name = path.endsWith('/') ? 'index.html' : path.slice(below.length);
    try {
      if (!path.startsWith(below) || instead.get(name) === null) throw new Error('not here');
      const bytes = instead.get(name) ?? (await readFile(join(folder, name)));
      response.setHeader('Content-Type', types[extname(name)] ?? 'application/octet-stream');
      if (typeof bytes === 'function') Readable.from(bytes()).pipe(response);
      else response.end(bytes);
    } catch {
      response.statusCode = 404;
      response.end('no such file');
    }
  });
  return { url: `${await listening(t, server)}${below}`, asked, instead };
}
