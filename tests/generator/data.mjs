// Generates a random schema and random points as line protocol.

const FIELDS = { f: 'float', g: 'float', i: 'integer', j: 'integer', s: 'string', b: 'boolean' };
export const TAGS = { host: ['a', 'b', 'c'], dc: ['x', 'y z'], role: ['db', 'web,1', 'é'] };
const START_S = 1_600_000_000;
/** The maximum time from the start of the data to a point. */
export const SPAN_S = 600;
export const START_NS = BigInt(START_S) * 1_000_000_000n;
/** At the times `borders_s`, several time zones change to or from daylight saving time. */
export const DAYS = {
  name: 'days',
  first_s: 1_600_646_400,
  hours: 24 * 56,
  borders_s: ['2020-10-25T01:00:00Z', '2020-11-01T06:00:00Z', '2020-10-03T15:30:00Z', '2020-10-10T00:00:00Z'].map(
    (iso) => Date.parse(iso) / 1000,
  ),
};

/**
 * In `aligned` measurements, all series have the same timestamps. In others, all timestamps differ.
 */
export function randomData(random) {
  const names = ['cpu', 'mem', 'disk io', 'net'];
  const measurements = names.map((name, index) => {
    const fields = random.some(Object.keys(FIELDS), random.int(3, 6));
    if (!fields.includes('f')) fields.push('f');
    const tags = random.some(Object.keys(TAGS), random.int(1, 3));
    const measurement = { name, fields, tags, aligned: index === 3, types: FIELDS };
    measurement.lines = points(random, measurement, index);
    return measurement;
  });
  return { measurements, types: FIELDS, tagValues: TAGS, days: days(random) };
}

function days(random) {
  const lines = [];
  for (let hour = 0; hour < DAYS.hours; hour += random.int(1, 7)) {
    const time = BigInt(DAYS.first_s + hour * 3_600 + random.pick([0, 0, 1, 1_800])) * 1_000_000_000n;
    lines.push(`${DAYS.name},host=a f=${value(random, 'f')},i=${value(random, 'i')} ${time}`);
  }
  return lines;
}

function points(random, { name, fields, tags, aligned }, index) {
  const lines = [];
  let series = [[]];
  for (const tag of tags) {
    // Some series do not have the tag.
    const values = [...random.some(TAGS[tag], random.int(1, 3)), ...(random.chance(0.3) ? [null] : [])];
    series = series.flatMap((known) => values.map((value) => [...known, [tag, value]]));
  }
  series = random.some(series, 6);
  series.forEach((own, number) => {
    const key = own.filter(([, value]) => value !== null);
    const head = [escape(name), ...key.map(([tag, value]) => `${tag}=${escape(value)}`)].join(',');
    const present = fields.filter(() => random.chance(0.9));
    const step = random.pick([5, 10, 10, 20, 60]);
    const sparse = random.pick([0.05, 0.2, 0.6]);
    for (let s = random.int(0, 60); s < SPAN_S - random.int(0, 60); s += aligned ? 10 : step) {
      if (random.chance(sparse)) continue;
      const values = present.filter(() => random.chance(0.85)).map((f) => `${f}=${value(random, f)}`);
      if (values.length === 0) continue;
      const at = aligned ? Math.floor(s / 10) * 10 : s;
      const jitter = aligned ? 0n : BigInt(index * 1_000 + number * 10_000_000 + random.int(0, 99));
      const time = START_NS + BigInt(at) * 1_000_000_000n + jitter;
      lines.push(`${head} ${values.join(',')} ${time}`);
    }
  });
  return lines;
}

function value(random, field) {
  switch (FIELDS[field]) {
    case 'float':
      return field === 'f' ? random.int(-50, 500) / 10 : String(random.unit() * 10 ** random.int(-3, 6));
    case 'integer':
      return `${field === 'i' ? random.int(0, 9) : random.int(-1000, 100_000)}i`;
    case 'string':
      return `"${random.pick(['up', 'down', 'a b', '<é&>', ''])}"`;
    default:
      return random.chance(0.5) ? 'true' : 'false';
  }
}

export function escape(text) {
  return text.replace(/[ ,=]/g, (char) => `\\${char}`);
}
