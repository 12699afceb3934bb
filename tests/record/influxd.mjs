// Runs a private InfluxDB 1.x with a temporary directory and free ports on 127.0.0.1. `stop`
// removes the directory.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const START_TRIES = 200;
const START_PAUSE_MS = 50;

/**
 * `index` is the type of the series index, `inmem` or `tsi1`. If the two types return different
 * results, one of them has a defect. With `kept`, the server uses that directory and does not
 * delete it.
 */
export async function startInfluxd(index = 'inmem', kept = undefined) {
  const directory = kept ?? mkdtempSync(join(tmpdir(), 'influxd-'));
  const [httpPort, rpcPort] = [await freePort(), await freePort()];
  const config = join(directory, 'influxd.conf');
  writeFileSync(config, configText(directory, index, httpPort, rpcPort));
  const child = spawn('influxd', ['run', '-config', config], { stdio: 'ignore' });
  const failed = once(child, 'error').then(([error]) => {
    throw new Error(`cannot start influxd (Debian package influxdb): ${error.message}`);
  });
  const end = () => {
    child.kill('SIGKILL');
    if (!kept) rmSync(directory, { recursive: true, force: true });
  };
  process.once('exit', end);
  const url = `http://127.0.0.1:${httpPort}`;
  await Promise.race([failed, answering(url, child)]);
  failed.catch(() => {});
  const stop = async () => {
    if (child.exitCode === null) {
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
    if (!kept) rmSync(directory, { recursive: true, force: true });
    process.removeListener('exit', end);
  };
  return { url, pid: child.pid, directory, stop };
}

async function answering(url, child) {
  for (let i = 0; i < START_TRIES; i += 1) {
    if (child.exitCode !== null) throw new Error(`influxd ended with ${child.exitCode}`);
    const reply = await fetch(`${url}/ping`).catch(() => null);
    if (reply?.status === 204) return;
    await delay(START_PAUSE_MS);
  }
  throw new Error('influxd does not answer');
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

// Disables the `_internal` database, automatic continuous queries and automatic retention.
function configText(directory, index, httpPort, rpcPort) {
  return `reporting-disabled = true
bind-address = "127.0.0.1:${rpcPort}"
[meta]
  dir = "${directory}/meta"
[data]
  dir = "${directory}/data"
  wal-dir = "${directory}/wal"
  query-log-enabled = false
  index-version = "${index}"
[monitor]
  store-enabled = false
[retention]
  enabled = false
[shard-precreation]
  enabled = false
[subscriber]
  enabled = false
[continuous_queries]
  enabled = false
[http]
  bind-address = "127.0.0.1:${httpPort}"
  log-enabled = false
[logging]
  level = "error"
`;
}
