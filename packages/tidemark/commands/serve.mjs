// tidemark serve: runs the database on this machine.

import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { aboutBuilt, built, builtSql } from '../lib/built.mjs';
import { configuration } from '../lib/configuration.mjs';
import { connectionOptions, tokenFile } from '../lib/connection.mjs';
import { adminToken, makeFolder, occupy } from '../lib/folder.mjs';
import { mustBeFree, ownHost, placeText, portOf, tlsOf, tlsOptions } from '../lib/listening.mjs';
import { logEvent, requestLogger } from '../lib/log.mjs';
import { Server } from '../lib/server.mjs';
import { SqlSupervisor } from '../lib/sql_supervisor.mjs';
import { Transcoder } from '../lib/transcoder.mjs';

const inPackage = (path) => fileURLToPath(new URL(path, import.meta.url));

/**
 * Checks whether the server responds. The certificate is not checked, because the request stays on
 * this machine.
 */
async function answersAt(host, port, tls) {
  const { request } = await import(tls ? 'node:https' : 'node:http');
  return new Promise((answered) => {
    const asked = request({ host: ownHost(host), port, path: '/ping', rejectUnauthorized: false, timeout: 2_000 });
    asked.on('response', (response) => {
      response.resume();
      answered(response.statusCode === 204);
    });
    asked.on('timeout', () => asked.destroy());
    asked.on('error', () => answered(false));
    asked.end();
  });
}

function greet({ url, folder, token, flight }) {
  if (!process.stdout.isTTY) return logEvent('started', { url, folder, ...(flight && { flight }) });
  const opened = process.env.ADMIN_TOKEN
    ? `Console: ${url}/ (the token is the value of ADMIN_TOKEN)`
    : `Console, with its token: ${url}/#token=${token}`;
  console.log(`
Tidemark listens at ${url}, and stores its data in ${folder}
${opened}${flight ? `\ngRPC: ${flight}` : ''}

The native program has a shell: run tidemark query in another terminal, in this folder.

Press Ctrl-C to stop. npx tidemark --help lists the commands. Each line below is a request.
`);
}

/**
 * Returns the file descriptor of a server's socket, for a child to inherit.
 * @param {any} server
 */
const fileOf = (server) => server._handle.fd;

/** Returns the environment of workerd: only the settings that are set, and the admin token. */
function variablesOf(settings, token) {
  const given = [...settings, 'ADMIN_TOKEN_NEXT'].filter((name) => process.env[name]);
  const own = Object.fromEntries(given.map((name) => [name, process.env[name]]));
  // A single isolate serves all requests, so its counts cover the whole server.
  return { COUNT_DURATIONS: 'true', ...own, ADMIN_TOKEN: token };
}

/** Returns the gRPC proxy of the server, like `tidemark flight`, or null without `--flight`. */
function flightOf({ host, port, tls, flight }) {
  if (!flight) return null;
  const place = { host, port: portOf('--flight', flight) };
  const to = new URL(`${tls ? 'https' : 'http'}://${placeText({ host: ownHost(host), port })}`);
  const given = tls && { cert: readFileSync(tls.cert), key: readFileSync(tls.key) };
  // The certificate is not checked, because the request stays on this machine.
  const transcoder = new Transcoder({ to, tls: given, isTrusted: true, logEvent: requestLogger() });
  return { place, transcoder, address: `${tls ? 'grpc+tls' : 'grpc'}://${placeText(place)}` };
}

/**
 * Returns the SQL process, whose socket is in a new folder that only this user can read. Returns
 * null in a package without SQL.
 */
function sqlOf() {
  const module = builtSql();
  if (!module) return null;
  // The data folder's path may be too long: a socket's path has at most 103 bytes.
  const place = mkdtempSync(join(tmpdir(), 'tidemark-'));
  const socket = join(place, 'sql');
  const supervisor = new SqlSupervisor({ folder: realpathSync(module), place: socket, logEvent });
  const stop = async () => (await supervisor.stop(), rmSync(place, { recursive: true, force: true }));
  return { supervisor, socket, stop, front: realpathSync(inPackage('../lib/sql_front.js')) };
}

async function run(options) {
  const { day, paths, settings } = aboutBuilt();
  const { host, port: portText, data } = options;
  const [port, tls] = [portOf('--port', portText), tlsOf(options)];
  const flight = flightOf({ host, port, tls, flight: options.flight });
  makeFolder(data);
  const folder = realpathSync(data);
  await mustBeFree({ host, port }, '--port');
  if (flight) await mustBeFree(flight.place, '--flight');
  const mark = await occupy(folder);
  const sql = sqlOf();
  try {
    const token = adminToken(folder);
    const variables = variablesOf(settings, token);
    const stored = join(folder, 'objects');
    makeFolder(stored);
    if (options.backups) makeFolder(options.backups);
    const backups = options.backups ? realpathSync(options.backups) : null;
    const file = join(folder, 'workerd.capnp');
    const places = { folder, built: realpathSync(built), sql, site: realpathSync(join(built, 'site')), stored, backups };
    const front = realpathSync(inPackage('../lib/front.js'));
    const names = Object.keys(variables);
    writeFileSync(file, configuration({ ...places, front, variables: names, paths, day, host, port, tls }));
    const { default: { default: program } } = await import('workerd');
    const ask = () => answersAt(host, port, tls);
    const server = new Server({ program, args: ['serve', file], env: variables, mark: fileOf(mark), ask, logEvent });
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
    // Running gRPC calls are requests to the server, so they end before the server stops.
    const stop = async () => (await flight?.transcoder.stop(), await server.stop());
    for (const signal of signals) process.on(signal, stop);
    await sql?.supervisor.start();
    await server.start();
    if (server.isStopping) return 0;
    await flight?.transcoder.listen(flight.place);
    greet({ url: `${tls ? 'https' : 'http'}://${placeText({ host, port })}`, folder, token, flight: flight?.address });
    await server.watch();
    await stop();
    if (!process.stdout.isTTY) logEvent('stopped', {});
    return 0;
  } finally {
    await sql?.stop();
    mark.close();
  }
}

/** @type {import('../lib/command.mjs').Command} */
export default {
  summary: 'runs the database on this machine, with its data in a folder',
  usage: '[--port N] [--data FOLDER] …',
  about: `
The command runs the same code as a deployment, on workerd, the runtime that Cloudflare publishes. It needs no
account and contacts no other machine. The address serves the API and the console.

The first start creates the admin token in ${tokenFile('FOLDER')}, which only you can read. ADMIN_TOKEN in the environment
replaces this token. The command reads every setting of docs/SETTINGS.md from the environment variable of the
same name.

Acknowledged writes survive a crash, after which the database starts again automatically. On SIGTERM the server
completes running requests before it stops. The log has one JSON line per request; LOG_REQUESTS=errors logs only
failures, and LOG_REQUESTS=none logs no requests. workerd marks its on-disk storage as experimental: make
backups (--backups) or exports (tidemark export).`,
  options: {
    host: { value: 'ADDRESS', env: 'HOST', fallback: '127.0.0.1', help: 'the address to listen on; with 0.0.0.0 (all interfaces) use TLS' },
    port: { value: 'N', env: 'PORT', fallback: '8787', help: 'the port to listen on' },
    data: { ...connectionOptions.data, help: 'the folder for the data; created if absent' },
    backups: { value: 'FOLDER', env: 'BACKUP_FOLDER', help: 'the folder for backups (POST /api/v3/backup); created if absent' },
    ...tlsOptions,
    flight: { value: 'N', env: 'FLIGHT_PORT', help: 'also accepts gRPC on this port, like `tidemark flight`' },
  },
  examples: [
    ['tidemark serve', 'serve on this machine only'],
    ['tidemark serve --host 0.0.0.0 --tls-cert chain.pem --tls-key key.pem', 'serve other machines, with TLS'],
    ['AUTO_CREATE_RETENTION=30d tidemark serve --data /var/lib/tidemark', 'use a setting and another folder'],
  ],
  run,
};
