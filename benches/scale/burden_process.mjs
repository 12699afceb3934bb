// A process that sends load to a server until it receives a second message. The first message
// contains the server, the loads and their sizes. The load has its own process, because it would
// otherwise delay the client that measures.

import { once } from 'node:events';

import { badLogins, heavyQueries, stalledUploads, writesBeyond } from './burdens.mjs';
import { line } from './sides.mjs';

const [{ server, names, plan }] = await once(process, 'message');
const side = { server, line: () => line({ server }) };
const { db } = plan;
let over = false;
process.once('message', () => (over = true));
const isOver = () => over;

const loads = {
  heavy: () => heavyQueries(side, db, plan, isOver),
  uploads: () => stalledUploads(side, db, plan.stalled, isOver),
  logins: () => badLogins(side, db, plan.logins, isOver),
  beyond: () => writesBeyond(side, db, { many: plan.beyond, pauseMs: plan.pauseMs, lines: plan.lines }, isOver),
};
const found = await Promise.all(names.map(async (name) => [name, await loads[name]()]));
process.send(Object.fromEntries(found));
process.disconnect();
