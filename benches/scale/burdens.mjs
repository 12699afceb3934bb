// Loads with which a tenant may disturb others: heavy queries, stalled uploads, wrong passwords, and
// writes above its quota.

import { request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

import { open } from '../connection.mjs';

/** The size that a stalled upload announces, and the size that it sends. */
const announcedBytes = 10_000_000;
const sentBytes = 9_990_000;
/**
 * The numbers of clients and guesses. They exceed the limits at which the server slows down one
 * address.
 */
const guessers = 20;
const guessedUsers = 200;

/**
 * Sends heavy queries until `isOver`. After a failure, pauses and then repeats the query. Returns
 * the number of results, and the failures.
 */
export async function heavyQueries(side, db, { heavy, statement, pauseMs }, isOver) {
  const found = { answered: 0, failures: [] };
  const one = async () => {
    const connection = side.line();
    while (!isOver()) {
      const { error } = await connection.query(db, statement);
      if (error) found.failures.push(error);
      else found.answered += 1;
      if (error) await delay(10 * pauseMs);
    }
    connection.close();
  };
  await Promise.all(Array.from({ length: heavy }, one));
  return found;
}

/**
 * Keeps `many` stalled uploads open until `isOver`. Starts a new upload for each one that the
 * server aborts. Returns the number of aborted uploads.
 */
export async function stalledUploads(side, db, many, isOver) {
  const found = { given_up: 0 };
  const { url, headers } = side.server;
  const one = async () => {
    while (!isOver()) {
      const options = {
        method: 'POST',
        headers: { ...headers, 'content-encoding': 'gzip', 'content-length': announcedBytes },
      };
      const upload = request(`${url}/write?db=${db}`, options);
      const ended = new Promise((resolve) => {
        for (const event of ['response', 'error', 'close']) upload.once(event, () => resolve('ended'));
      });
      upload.on('error', () => {});
      upload.on('response', (response) => response.resume());
      upload.write(Buffer.alloc(sentBytes, 7));
      while (!isOver() && (await Promise.race([ended, delay(100)])) !== 'ended');
      if (!isOver()) found.given_up += 1;
      upload.destroy();
    }
  };
  await Promise.all(Array.from({ length: many }, one));
  return found;
}

/** Sends logins with wrong passwords. Returns the number of responses with each status. */
export async function badLogins(side, db, perSecond, isOver) {
  const found = { statuses: {} };
  const pauseMs = (1000 * guessers) / perSecond;
  const one = async (_, guesser) => {
    let connection = null;
    let due = performance.now();
    for (let turn = guesser; !isOver(); turn += guessers) {
      try {
        connection ??= await open({ url: side.server.url, headers: {} });
        const who = `u=user${turn % guessedUsers}&p=guess${turn}`;
        const { status } = await connection.ask(`/query?db=${db}&${who}&q=SHOW+MEASUREMENTS`);
        found.statuses[status] = (found.statuses[status] ?? 0) + 1;
      } catch {
        connection = null;
      }
      // If a request was late, the next requests keep the usual pause and do not catch up.
      due = Math.max(due + pauseMs, performance.now() - pauseMs);
      await delay(Math.max(0, due - performance.now()));
    }
    connection?.close();
  };
  await Promise.all(Array.from({ length: guessers }, one));
  return found;
}

export async function fillQuota(side, db) {
  const body = JSON.stringify({ db, points_per_minute: 1 });
  const options = { method: 'POST', body, headers: side.server.headers };
  const reply = await fetch(`${side.server.url}/api/v3/configure/quota`, options);
  if (reply.status !== 200) throw new Error(`quota: ${reply.status} ${await reply.text()}`);
}

/**
 * Writes more than the quota permits. Each writer waits for the response and then pauses. Returns
 * the number of responses with each status.
 */
export async function writesBeyond(side, db, { many, pauseMs, lines }, isOver) {
  const found = { statuses: {} };
  const one = async () => {
    const connection = side.line();
    while (!isOver()) {
      const { status } = await connection.ask(`/write?db=${db}&precision=ms`, lines);
      found.statuses[status] = (found.statuses[status] ?? 0) + 1;
      await delay(pauseMs);
    }
    connection.close();
  };
  await Promise.all(Array.from({ length: many }, one));
  return found;
}
