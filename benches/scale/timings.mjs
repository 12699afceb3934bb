// Queries on several sides by turns: the first after a restart, and when everything is warm.

import { sameAnswer } from '../answers.mjs';
import { median } from '../ingest.mjs';
import { row } from './table.mjs';

/** The order of sides is turned each time: a side may wait for two turns of the others. */
const turnMsMax = 3_000;

/** Longer answers are not compared: parsing them takes longer than asking. */
const comparedBytesMax = 20_000_000;

/** Sides in an order that changes each turn. */
const inTurn = (sides, turn) => (turn % 2 ? sides.toReversed() : sides);

/** Each side's query once: times by side, and the first failure. */
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

/** What is known of each side before its first time. */
const nothing = (sides) =>
  new Map(sides.map((side) => [side, { times: [], bytes: 0, text: '', failure: '' }]));

const figures = (found) =>
  [...found.values()].map(({ times, bytes, failure }) => ({
    ms: times.some(Number.isNaN) ? NaN : median(times),
    bytes,
    failure,
  }));

/** What two answers differ in, in words. */
function differenceOf(found) {
  const answers = [...found].filter(([, { failure }]) => !failure);
  const ours = answers.findLast(([side]) => !side.isPeer)?.[1].text;
  const theirs = answers.find(([side]) => side.isPeer)?.[1].text;
  if (!ours || !theirs || ours.length + theirs.length > comparedBytesMax) return '';
  return sameAnswer(ours, theirs);
}

/**
 * The sides that take turns. Objects sleep after ten seconds without a request, and are not warm then: where turns
 * take so long each side has its own, one after the other.
 */
function awake(sides, before) {
  const all = [...before.values()].flatMap(({ times }) => times);
  const turnMs = all.reduce((sum, ms) => sum + (Number.isNaN(ms) ? 0 : ms), 0);
  return turnMs > turnMsMax ? sides.map((side) => [side]) : [sides];
}

/**
 * Medians of a query on each side: `{ cold, warm, difference }`, the first two with
 * `{ ms, bytes, failure }` of each side, the last what our last side and the peer differ in. `turns`
 * says how often each is asked.
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

/** The first failure of a query's sides, or what its answers differ in. */
export function failureOf(results, difference = '') {
  const first = results.find(({ failure }) => failure)?.failure;
  return first || (difference && `answers differ ${difference}`);
}

/**
 * Rows of the servers themselves: how fast the large load was written, all of them working beside
 * each other, and what each held at most, load and queries included.
 */
export function serverRows(what, points, [small, large, peer]) {
  const rate = (side) => side && points / side.writeSeconds() / 1000;
  const mb = { small: small.mostMb(), large: large.mostMb(), peer: peer?.mostMb() };
  return [
    row({ what: `${what}: load, thousand points/s`, large: rate(large), peer: rate(peer) }),
    row({ what: `${what}: most memory of the server, MB`, ...mb }),
  ];
}
