// tidemark serve: the database on this machine.

import { existsSync, realpathSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { aboutBuilt, built } from '../lib/built.mjs';
import { Sentence } from '../lib/command.mjs';
import { configuration } from '../lib/configuration.mjs';
import { connectionOptions, tokenFile } from '../lib/connection.mjs';
import { adminToken, makeFolder, occupy } from '../lib/folder.mjs';
import { Server } from '../lib/server.mjs';

const inPackage = (path) => fileURLToPath(new URL(path, import.meta.url));

function portOf(text) {
  const number = Number(text);
  if (Number.isInteger(number) && number >= 1 && number <= 65_535) return number;
  throw new Sentence(`--port is "${text}": it has to be a number from 1 to 65535.`);
}

/** Throws unless this machine can listen there; workerd would only say so in its own words. */
function mustBeFree(host, port) {
  return new Promise((free, reject) => {
    const probe = createServer();
    probe.once('error', (/** @type {NodeJS.ErrnoException} */ error) => {
      const why = error.code === 'EADDRINUSE' ? 'is in use: end what listens there, or choose another --port' : `cannot be listened on (${error.code})`;
      reject(new Sentence(`${host}:${port} ${why}.`));
    });
    probe.listen({ host, port, exclusive: true }, () => probe.close(free));
  });
}

/** The files of a certificate, or nothing; both or none are given. */
function tlsOf({ 'tls-cert': cert, 'tls-key': key }) {
  if (!cert && !key) return null;
  if (!cert || !key) throw new Sentence('--tls-cert and --tls-key belong together: give both.');
  const missing = [cert, key].find((path) => !existsSync(path));
  if (missing) throw new Sentence(`${missing} is not there.`);
  return { cert: resolve(cert), key: resolve(key) };
}

/** Whoever asks itself whether it runs must not ask its certificate. */
async function answersAt(host, port, tls) {
  const own = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  const { request } = await import(tls ? 'node:https' : 'node:http');
  return new Promise((answered) => {
    const asked = request({ host: own, port, path: '/ping', rejectUnauthorized: false, timeout: 2_000 });
    asked.on('response', (response) => {
      response.resume();
      answered(response.statusCode === 204);
    });
    asked.on('timeout', () => asked.destroy());
    asked.on('error', () => answered(false));
    asked.end();
  });
}

/** What happens, as a line of JSON among those of the requests. */
const tell = (event, more) => console.log(JSON.stringify({ time: new Date().toISOString(), event, ...more }));

function greet({ url, folder, token }) {
  if (!process.stdout.isTTY) return tell('started', { url, folder });
  const shown = process.env.ADMIN_TOKEN ? 'that of ADMIN_TOKEN' : token;
  console.log(`
Tidemark answers at ${url}, and keeps its data in ${folder}
Token: ${shown}

Open the address in a browser for the console, or in another terminal, in this folder:

npx tidemark query 'CREATE DATABASE demo'
npx tidemark query --database demo 'SHOW MEASUREMENTS'

Ctrl-C ends it; npx tidemark --help tells what else there is. Each line below is a request.
`);
}

/** The number of a server's file: what a child inherits. @param {any} server */
const fileOf = (server) => server._handle.fd;

/** What workerd gets: the settings that are set, and nothing else of the environment. */
function variablesOf(settings, token) {
  const given = [...settings, 'ADMIN_TOKEN_NEXT'].filter((name) => process.env[name]);
  return { ...Object.fromEntries(given.map((name) => [name, process.env[name]])), ADMIN_TOKEN: token };
}

async function run(options) {
  const { day, paths, settings } = aboutBuilt();
  const { host, port: portText, data } = options;
  const [port, tls] = [portOf(portText), tlsOf(options)];
  makeFolder(data);
  const folder = realpathSync(data);
  await mustBeFree(host, port);
  const mark = await occupy(folder);
  try {
    const token = adminToken(folder);
    const variables = variablesOf(settings, token);
    const stored = join(folder, 'objects');
    makeFolder(stored);
    const file = join(folder, 'workerd.capnp');
    const places = { folder, built: realpathSync(built), site: realpathSync(join(built, 'site')), stored };
    const front = realpathSync(inPackage('../lib/front.js'));
    const names = Object.keys(variables);
    writeFileSync(file, configuration({ ...places, front, variables: names, paths, day, host, port, tls }));
    const { default: { default: program } } = await import('workerd');
    const ask = () => answersAt(host, port, tls);
    const server = new Server({ program, args: ['serve', file], env: variables, mark: fileOf(mark), ask, tell });
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
    for (const signal of signals) process.on(signal, () => server.stop());
    await server.start();
    if (server.isStopping) return 0;
    const shownHost = host.includes(':') ? `[${host}]` : host;
    greet({ url: `${tls ? 'https' : 'http'}://${shownHost}:${port}`, folder, token });
    await server.watch();
    await server.stop();
    if (!process.stdout.isTTY) tell('stopped', {});
    return 0;
  } finally {
    mark.close();
  }
}

/** @type {import('../lib/command.mjs').Command} */
export default {
  summary: 'runs the database on this machine, with its data in a folder',
  usage: '[--port N] [--data FOLDER] …',
  about: `
It runs the same code as a deployment on workerd, the runtime that Cloudflare publishes, without an
account and without asking anybody outside. Its address serves the API and the console. The admin token
is made at the first start and kept in ${tokenFile('FOLDER')}, readable by you alone; ADMIN_TOKEN in the environment
takes its place. Every setting of docs/SETTINGS.md is taken from the environment by its name. What a
client was told is written survives a crash, after which it starts again by itself; on SIGTERM what is
under way is finished first. Its log has a line of JSON for each request (LOG_REQUESTS=errors: for
failures; none). workerd calls its storage on a disk experimental: make exports (tidemark export).`,
  options: {
    host: { value: 'ADDRESS', env: 'HOST', fallback: '127.0.0.1', help: 'where it listens; 0.0.0.0 is everywhere: use TLS then' },
    port: { value: 'N', env: 'PORT', fallback: '8787', help: 'where it listens' },
    data: { ...connectionOptions.data, help: 'where the data is kept; made when it is not there' },
    'tls-cert': { value: 'FILE', env: 'TLS_CERT', help: 'the chain of certificates (PEM), for https' },
    'tls-key': { value: 'FILE', env: 'TLS_KEY', help: 'its private key (PEM)' },
  },
  examples: [
    ['tidemark serve', 'for yourself'],
    ['tidemark serve --host 0.0.0.0 --tls-cert chain.pem --tls-key key.pem', 'for others'],
    ['AUTO_CREATE_RETENTION=30d tidemark serve --data /var/lib/tidemark', 'with a setting, elsewhere'],
  ],
  run,
};
