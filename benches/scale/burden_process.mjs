// A process that loads a server until it receives a second message. The first message names the
// server, the loads and their sizes. In the process of the measurement, loads would delay the
// measuring client.

import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';

import { badLogins, stalledUploads, writesBeyond } from './burdens.mjs';
import { line } from './sides.mjs';

const [{ server, names, plan }] = await once(process, 'message');
const side = { server, line: () => line({ server }) };
const { db, statement, pauseMs, lines } = plan;
let over = false;
process.once('message', () => (over = true));
const isOver = () => over;

/** Returns the number of results, and the failures. */
async function heavyQueries() {
  const found = { answered: 0, failures: [] };
  const one = async () => {
    const connection = side.line();
    while (!isOver()) {
      const { error } = await connection.query(db, statement);
      if (error) found.failures.push(error);
      else found.answered += 1;
      // After a rejection, pauses and then repeats the query.
      if (error) await delay(10 * pauseMs);
    }
    connection.close();
  };
  await Promise.all(Array.from({ length: plan.heavy }, one));
  return found;
}

const loads = {
  heavy: heavyQueries,
  uploads: () => stalledUploads(side, db, plan.stalled, isOver),
  logins: () => badLogins(side, db, plan.logins, isOver),
  beyond: () => writesBeyond(side, db, { many: plan.beyond, pauseMs, lines }, isOver),
};
const found = await Promise.all(names.map(async (name) => [name, await loads[name]()]));
process.send(Object.fromEntries(found));
process.disconnect();
