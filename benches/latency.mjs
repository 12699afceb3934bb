// Measures the three requests in the README, one after another on one connection.

import { Agent, request } from 'node:http';

import { median } from './ingest.mjs';

function ask(agent, target, path, body) {
  return new Promise((resolve, reject) => {
    const form = { 'Content-Type': 'application/x-www-form-urlencoded' };
    const headers = { ...target.headers, ...form };
    const sent = request(target.url + path, { method: 'POST', agent, headers }, (reply) => {
      reply.resume();
      reply.on('end', () => (reply.statusCode < 300 ? resolve() : reject(new Error(path))));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

/** Returns the median milliseconds of creating a database, a write and a read. */
export async function threeRequests(target, rounds) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const times = { create: [], write: [], query: [] };
  const timed = async (name, ...args) => {
    const from = performance.now();
    await ask(agent, target, ...args);
    times[name].push(performance.now() - from);
  };
  for (let i = 0; i < rounds; i++) {
    await timed('create', '/query', `q=CREATE DATABASE latency${i}`);
    await timed('write', `/write?db=latency${i}`, 'weather,city=Oslo temperature=12.5');
    await timed('query', `/query?db=latency${i}`, 'q=SELECT * FROM weather');
  }
  agent.destroy();
  return Object.fromEntries(Object.entries(times).map(([name, ms]) => [name, median(ms)]));
}
