// Generates random statements that the general SELECT of `queries.mjs` omits: windows with time
// zones, days and fractions of seconds, arithmetic on time, INTO, SHOW.

import { DAYS, SPAN_S, START_NS } from './data.mjs';

const START_S = Number(START_NS / 1_000_000_000n);
const FILLS = ['null', 'none', 'previous', 'linear', '0', '-3.5'];
/** The possible window sizes for each length of the time range in seconds. */
const RANGES = [
  [2, ['100ms', '250ms', '333ms', '1s', '500000u']],
  [45, ['500ms', '1500ms', '2500000u', '7s']],
  [86_400 * 2, ['1h', '90m', '6h', '12h', '1d']],
  [86_400 * 12, ['6h', '1d', '2d', '36h', '1w']],
  [86_400 * 60, ['1d', '5d', '1w', '2w', '30d']],
];
const OFFSETS = ['', '', '', ', 15m', ', -90s', ', 6h', ', -2d', ', 130ms', ', -1w'];
const ZONES = ['Europe/Berlin', 'America/New_York', 'Asia/Kolkata', 'Australia/Lord_Howe', 'America/Sao_Paulo', 'UTC'];

/** Returns a statement with windows of any size, or over a measurement with points on many days. */
export function timed(random) {
  const [range, every] = random.pick(RANGES);
  const days = range > 3_600;
  // Starts near a change of the time zone, or near the points of the other measurements.
  const start = days ? random.pick(DAYS.borders_s) - random.int(0, range) : START_S + random.int(0, SPAN_S - range);
  const name = days ? DAYS.name : random.pick(['cpu', 'mem', 'net']);
  const calls = random.some(['count', 'sum', 'mean', 'max', 'first', 'last', 'spread', 'median', 'integral', 'stddev'], random.int(1, 3));
  const fields = days ? ['f', 'i'] : ['f'];
  const list = calls.filter((call) => call !== 'integral' || calls.length === 1).map((call) => `${call}(${random.pick(fields)})`);
  const parts = [`SELECT ${list.join(', ')} FROM ${name} WHERE ${bounds(random, start, start + range)}`];
  const group = random.chance(0.3) ? ', *' : '';
  parts.push(`GROUP BY time(${random.pick(every)}${random.pick(OFFSETS)})${group} fill(${random.pick(FILLS)})`);
  if (random.chance(0.1)) parts.push('ORDER BY time DESC');
  if (random.chance(0.2)) parts.push(`LIMIT ${random.int(1, 20)} OFFSET ${random.int(0, 3)}`);
  if (random.chance(0.7)) parts.push(`tz('${random.pick(ZONES)}')`);
  // Only in the aligned measurement `net`, several series have points at the same time.
  return { text: parts.join(' '), tied: name === 'net' };
}

export function bounds(random, from, to) {
  const iso = (s) => new Date(s * 1000).toISOString();
  const shifted = (s) => `${iso(s + 7_200).slice(0, 19)}+02:00`;
  const say = (s) =>
    random.pick([
      () => `${s}s`,
      () => `${s}000ms`,
      () => `${s}000000000`,
      () => `${s + 90}s - 90s`,
      () => `${s - 60}s + 1m`,
      () => `'${iso(s)}'`,
      () => `'${iso(s).slice(0, 19).replace('T', ' ')}'`,
      () => `'${iso(s).slice(0, 19).replace('T', ' ')}.000'`,
      () => `'${shifted(s)}'`,
      () => `'${iso(s + 30)}' - 30s`,
      () => `'${iso(s - 5)}' + 2s + 3s`,
    ])();
  const lower = random.pick([`time >= ${say(from)}`, `time > ${say(from)}`, `${say(from)} <= time`]);
  const upper = random.pick([`time < ${say(to)}`, `time <= ${say(to)}`, `${say(to)} > time`]);
  return random.chance(0.9) ? `${lower} AND ${upper}` : `(${upper}) AND (${lower})`;
}

/** Writes a SELECT's result to a new measurement, then queries that measurement. */
export function into(random, select, number) {
  const target = `${random.pick(['side..', 'side.autogen.'])}out${number}`;
  const [head, tail] = select.split(/ FROM (.*)/s);
  const read = random.pick([`* FROM ${target} GROUP BY *`, `* FROM ${target}`, `count(*) FROM ${target}`]);
  return `${head} INTO ${target} FROM ${tail}; SELECT ${read}`;
}

const KEYS = ['host', 'dc', 'role', 'nope', 'zone'];
const PATTERNS = ['/o/', '/^d/', '/c|m/', '/./', '/^$/', '/^host$/', '/x y|k/'];
const SOURCES = ['cpu', 'mem', '"disk io"', 'net', 'nope', '/c|m/', '/./', 'cpu, net', 'autogen.mem', 'db..cpu'];

export function show(random) {
  const maybe = (probability, text) => (random.chance(probability) ? [text()] : []);
  const on = () => maybe(0.2, () => 'ON db');
  const from = () => maybe(0.5, () => `FROM ${random.pick(SOURCES)}`);
  const where = () => maybe(0.4, () => `WHERE ${condition(random)}`);
  const limit = () => [...maybe(0.3, () => `LIMIT ${random.int(0, 4)}`), ...maybe(0.2, () => `OFFSET ${random.int(0, 3)}`)];
  const key = () =>
    random.pick([
      () => `WITH KEY = ${random.pick(KEYS)}`,
      () => `WITH KEY != ${random.pick(KEYS)}`,
      () => `WITH KEY =~ ${random.pick(PATTERNS)}`,
      () => `WITH KEY !~ ${random.pick(PATTERNS)}`,
      () => `WITH KEY IN (${random.some(KEYS, random.int(1, 3)).join(', ')})`,
    ])();
  const exact = () => maybe(0.5, () => 'EXACT');
  const parts = random.pick([
    () => ['SHOW SERIES', ...on(), ...from(), ...where(), ...limit()],
    () => ['SHOW TAG KEYS', ...on(), ...from(), ...where(), ...limit()],
    () => ['SHOW FIELD KEYS', ...on(), ...from(), ...limit()],
    () => ['SHOW TAG VALUES', ...on(), ...from(), key(), ...where(), ...limit()],
    () => [
      'SHOW MEASUREMENTS',
      ...on(),
      ...maybe(0.4, () => `WITH MEASUREMENT ${random.pick(['= cpu', '= nope', '!= mem', '=~ /c|m/', '!~ /c|m/', '=~ /./'])}`),
      ...where(),
      ...limit(),
    ],
    () => ['SHOW', random.pick(['MEASUREMENT', 'TAG KEY', 'FIELD KEY']), ...exact(), 'CARDINALITY', ...on(), ...from(), ...where(), ...limit()],
    // 1.x counts a series once for each shard group, and a shard group lasts a week.
    () => ['SHOW SERIES', ...exact(), 'CARDINALITY', ...on(), `FROM ${random.pick(SOURCES).replace('/./', '/[cmn][^y]/')}`, ...where(), ...limit()],
    () => ['SHOW TAG VALUES', ...exact(), 'CARDINALITY', ...on(), ...from(), key(), ...where(), ...limit()],
    () => ['SHOW RETENTION POLICIES', ...on()],
  ])();
  return { text: parts.join(' '), tied: false };
}

function condition(random) {
  const one = () => {
    const [key, value] = [random.pick(KEYS), random.pick(['a', 'b', 'x', 'y z', 'db', 'web,1', 'é', ''])];
    return random.pick([
      `${key} = '${value}'`,
      `${key} != '${value}'`,
      `${key} =~ ${random.pick(['/a|b/', '/^x/', '/./', '/^$/', '/.*/'])}`,
      `${key} !~ ${random.pick(['/a|b/', '/^x/', '/./', '/^$/', '/.*/'])}`,
    ]);
  };
  return random.pick([() => one(), () => `${one()} AND ${one()}`, () => `${one()} OR ${one()}`, () => `(${one()} OR ${one()}) AND ${one()}`])();
}
