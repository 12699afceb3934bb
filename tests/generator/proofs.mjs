// What the rules without a control of their own say of InfluxDB, shown on the very server of the run.

const TRIES = 300;
/** Windows of three values. Their sums differ in the last bit with the order of the values. */
const WINDOWS = [
  [4.9, 32.2, 6.6], [19.8, 16.7, 43.9], [22.8, 29.7, 36.9], [7.8, 5.3, 26.6],
  [47.8, 14.3, 14.2], [16.9, 35.2, 31.9], [34.2, 22.1, 6.3], [6.2, 8.5, 7.8],
];
const line = (name, value, time) => `${name} f=${value} ${time}000000000`;
const WINDOW_LINES = WINDOWS.flatMap((values, index) => [
  ...values.map((value, at) => line('one', value, index * 10 + at)),
  ...values.toReversed().map((value, at) => line('other', value, index * 10 + at)),
]);

/** Rule by rule; each gets `ask(statement)`, which is the body of the answer. */
export const PROOFS = {
  // Not JSON, as no later version answers.
  async 'infinity, in the words of later versions'(ask) {
    return /^json: error calling .*unsupported value: \+Inf\n$/.test(await ask('SELECT pow(f, 1000) FROM p'));
  },
  // The same statement, twice: another error.
  async 'which of several calls an error names, which 1.x leaves to the order of a map'(ask) {
    const texts = new Set();
    for (let tries = 0; tries < TRIES && texts.size < 2; tries += 1) {
      texts.add(await ask('SELECT mean(s), stddev(s) FROM p'));
    }
    return [...texts].every((text) => text.includes('iterator type')) && texts.size === 2;
  },
  // An error where the call's column is read, none where another one is.
  async 'types of calls inside subqueries of which no column is read: 1.x does not look at them'(ask) {
    const read = await ask('SELECT m FROM (SELECT mean(s) AS m FROM p)');
    const other = await ask('SELECT nope FROM (SELECT mean(s) AS m FROM p)');
    return read.includes('iterator type') && !other.includes('error');
  },
  // An error outside, none inside.
  async 'type errors inside subqueries, which 1.6.7 does not look for'(ask) {
    const outside = await ask('SELECT s + 1 AS x FROM p');
    const inside = await ask('SELECT x FROM (SELECT s + 1 AS x FROM p)');
    return outside.includes('"type error: ') && !inside.includes('error');
  },
  async 'chande_momentum_oscillator() of one point, over which 1.6.7 panics'(ask) {
    return (await ask('SELECT chande_momentum_oscillator(f, 1) FROM p')).includes('[panic:runtime error: index out of range');
  },
  // Sums that agree to the last bit but one are predicted otherwise.
  async 'holt_winters() of sums, which makes much of their last bits'(ask) {
    const values = async (call, from) => {
      const body = await ask(`SELECT ${call} FROM ${from} WHERE time >= 0 AND time < 80s GROUP BY time(10s)`);
      return JSON.parse(body).results[0].series[0].values.map((row) => row[1]);
    };
    const apart = async (call) => {
      const [one, other] = [await values(call, 'one'), await values(call, 'other')];
      return Math.max(...one.map((value, row) => Math.abs(value - other[row]) / Math.abs(value)));
    };
    return (await apart('sum(f)')) < 1e-15 && (await apart('holt_winters(sum(f), 3, 0)')) > 1e-9;
  },
};

/** Throws unless the server at `url` does what the rules say. */
export async function prove(url) {
  const send = async (path, params, body = '') => {
    const reply = await fetch(`${url}${path}?${new URLSearchParams(params)}`, { method: 'POST', body });
    return reply.text();
  };
  await send('/query', { q: 'CREATE DATABASE proof WITH DURATION INF' });
  await send('/write', { db: 'proof' }, ['p f=10,s="x" 0', ...WINDOW_LINES].join('\n'));
  for (const [rule, holds] of Object.entries(PROOFS)) {
    if (!(await holds((q) => send('/query', { db: 'proof', q })))) throw new Error(`not so on this server: ${rule}`);
  }
  await send('/query', { q: 'DROP DATABASE proof' });
}
