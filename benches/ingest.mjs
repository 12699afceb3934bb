// Measures points per second, and CPU seconds per million points. Tidemark and InfluxDB take turns.

import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';

import { cpuSeconds } from './cpu_time.mjs';

const answerMs = 60_000;
const settleMs = 60_000;
const intervalMs = 500;
/** A server is idle if it uses less than this share of one core. */
const idleShare = 0.1;

/**
 * Waits until the server is idle, but not longer than `settleMs`. Flushes and merges continue after
 * the last response.
 */
async function settle(target) {
  const until = performance.now() + settleMs;
  let before = cpuSeconds(target.pid);
  while (performance.now() < until) {
    await sleep(intervalMs);
    const after = cpuSeconds(target.pid);
    if (after - before < (idleShare * intervalMs) / 1000) return;
    before = after;
  }
}

/** Sends a write. Rejects if the status is not 204. */
function send(agent, target, path, body, gzip) {
  return new Promise((resolve, reject) => {
    const headers = { ...target.headers, 'Content-Length': body.length };
    if (gzip) headers['Content-Encoding'] = 'gzip';
    const sent = request(target.url + path, { method: 'POST', agent, headers }, (reply) => {
      let text = '';
      reply.on('data', (piece) => (text += piece));
      reply.on('end', () => {
        if (reply.statusCode === 204) resolve();
        else reject(new Error(`${target.name} answered ${reply.statusCode}: ${text}`));
      });
    });
    sent.on('error', reject);
    const late = () => sent.destroy(new Error(`${target.name} did not answer in ${answerMs} ms`));
    sent.setTimeout(answerMs, late);
    sent.end(body);
  });
}

/**
 * Writes all bodies, and then waits until the server is idle, so that its background work does not
 * slow down the next server. Resolves to points per second, CPU seconds per million points with
 * this work, and the duration of each request in milliseconds.
 */
export async function slice(target, db, bodies, { connections, pointsPerBody, gzip = false }) {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const path = `/write?db=${db}`;
  const latencies = [];
  let next = 0;
  const cpuBefore = cpuSeconds(target.pid);
  const from = performance.now();
  const connection = async () => {
    while (next < bodies.length) {
      const body = bodies[next++];
      const sentAt = performance.now();
      await send(agent, target, path, body, gzip);
      latencies.push(performance.now() - sentAt);
    }
  };
  await Promise.all(Array.from({ length: connections }, connection));
  const seconds = (performance.now() - from) / 1000;
  await settle(target);
  const cpu = cpuSeconds(target.pid) - cpuBefore;
  agent.destroy();
  const points = bodies.length * pointsPerBody;
  return { rate: points / seconds, cpuPerMillion: (cpu / points) * 1e6, latencies };
}

export function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length * share)];
}

export const median = (values) => percentile(values, 0.5);

export const compressed = (body) => gzipSync(body);
