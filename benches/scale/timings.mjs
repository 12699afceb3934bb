// Measures queries on several servers in turn: the first query after a restart, and warm queries.

import { sameAnswer } from '../answers.mjs';
import { median } from '../ingest.mjs';
import { row } from './table.mjs';

/**
 * The maximum duration of a turn, in milliseconds. The order of the servers alternates, so a server
 * may wait for two turns of each other server.
 */
const turnMsMax = 3_000;

/**
 * The maximum size of compared responses, because parsing larger responses takes longer than the
 * queries.
 */
const comparedBytesMax = 20_000_000;

const inTurn = (sides, turn) => (turn % 2 ? sides.toReversed() : sides);

async function once(sides, turn, db, q, found) {
  for (const side of inTurn(sides, turn)) {
    const { ms, text, bytes, error } = await side.query(db, q);
    const mine = found.get(side);
    mine.failure ||= error;
    mine.times.push(ms);
    mine.bytes = bytes;
    mine.text = text;
  }
}

const nothing = (sides) =>
  new Map(sides.map((side) => [side, { times: [], bytes: 0, text: '', failure: '' }]));

const figures = (found) =>
  [...found.values()].map(({ times, bytes, failure }) => ({
    ms: times.some(Number.isNaN) ? NaN : median(times),
    bytes,
    failure,
  }));

function differenceOf(found) {
  const answers = [...found].filter(([, { failure }]) => !failure);
  const ours = answers.findLast(([side]) => !side.isPeer)?.[1].text;
  const theirs = answers.find(([side]) => side.isPeer)?.[1].text;
  if (!ours || !theirs || ours.length + theirs.length > comparedBytesMax) return '';
  return sameAnswer(ours, theirs);
}

/**
 * Divides the servers into groups whose servers are measured in turn. Normally all servers form one
 * group. The platform evicts objects after ten seconds without a request. If a turn takes so long
 * that the objects of waiting servers would be evicted, each server forms its own group.
 */
function awake(sides, before) {
  const all = [...before.values()].flatMap(({ times }) => times);
  const turnMs = all.reduce((sum, ms) => sum + (Number.isNaN(ms) ? 0 : ms), 0);
  return turnMs > turnMsMax ? sides.map((side) => [side]) : [sides];
}

/**
 * Measures a query on all servers. In the result, `cold` and `warm` contain `{ ms, bytes, failure
 * }` for each server, and `difference` is the first difference between the responses of Tidemark's
 * last server and of the peer.
 */
export async function timed(sides, db, q, turns) {
  const [cold, warm] = [nothing(sides), nothing(sides)];
  for (let turn = 0; turn < turns.cold; turn++) {
    for (const side of sides) await side.restart();
    await once(sides, turn, db, q, cold);
  }
  const before = nothing(sides);
  await once(sides, 0, db, q, before);
  for (const together of awake(sides, before)) {
    for (let turn = 0; turn < turns.warm; turn++) await once(together, turn, db, q, warm);
  }
  return { cold: figures(cold), warm: figures(warm), difference: differenceOf(warm) };
}

/** Returns the first failure of a query, or else the difference between its responses. */
export function failureOf(results, difference = '') {
  const first = results.find(({ failure }) => failure)?.failure;
  return first || (difference && `answers differ ${difference}`);
}

/**
 * Returns the rows about the servers themselves. The write rate is from the load of the large size,
 * during which all servers write in parallel.
 */
export function serverRows(what, points, [small, large, peer]) {
  const rate = (side) => side && points / side.writeSeconds() / 1000;
  const mb = { small: small.mostMb(), large: large.mostMb(), peer: peer?.mostMb() };
  return [
    row({ what: `${what}: load, thousand points/s`, large: rate(large), peer: rate(peer) }),
    row({ what: `${what}: most memory of the server, MB`, ...mb }),
  ];
}
