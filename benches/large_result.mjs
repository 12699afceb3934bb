// Measures a result with three million rows in each format of InfluxQL on the native host.
// Tidemark and InfluxDB take turns.

import { median } from './ingest.mjs';
import { db, fill } from './queries.mjs';
import { circumstances, record } from './results.mjs';
import { stopAll, wholeAnswer } from './servers.mjs';

const sizes = { whole: { hosts: 100, hours: 84, turns: 3 }, quick: { hosts: 100, hours: 2, turns: 1 } };
/** The target for the duration relative to InfluxDB's JSON. */
const aim = 5;
const mb = 1e6;
const statement = 'SELECT hostname, usage_user, usage_system, usage_idle FROM cpu';

const chunked = { route: '/query', more: { chunked: 'true' } };
const forms = {
  JSON: chunked,
  CSV: { ...chunked, headers: { Accept: 'application/csv' } },
  msgpack: { ...chunked, headers: { Accept: 'application/x-msgpack' } },
  Arrow: { route: '/api/v3/query_influxql', more: { format: 'arrow' }, isOurs: true },
};

function read(target, { route, more, headers }) {
  return wholeAnswer(target, `${route}?${new URLSearchParams({ db, q: statement, ...more })}`, headers);
}

/** Returns `[form, target, { seconds, bytes }]` for each form and server. */
async function measured(targets, turns) {
  const asked = Object.entries(forms).flatMap(([name, form]) =>
    targets.filter((_, i) => i === 0 || !form.isOurs).map((target) => ({ name, form, target, took: [] })),
  );
  for (let turn = 0; turn < turns; turn++) {
    for (const one of asked) one.took.push(await read(one.target, one.form));
  }
  return asked.map(({ name, target, took }) => [
    name, target, { seconds: median(took.map(({ seconds }) => seconds)), bytes: took[0].bytes },
  ]);
}

export async function largeResult(start, peer, { isQuick }) {
  const size = sizes[isQuick ? 'quick' : 'whole'];
  const targets = [];
  try {
    for (const one of [start, peer].filter(Boolean)) targets.push(await one());
    let points = 0;
    for (const target of targets) points = await fill(target, target.name, size);
    const all = await measured(targets, size.turns);
    const json = all.find(([name, target]) => name === 'JSON' && target === targets[1])?.[2].seconds;
    const rows = all.map(([name, target, { seconds, bytes }]) => {
      const ratio = json && json / seconds;
      return [
        `${name}, ${target.name}`, seconds.toFixed(2), (bytes / mb).toFixed(0), (bytes / mb / seconds).toFixed(0),
        (points / seconds / 1000).toFixed(0), ratio ? ratio.toFixed(2) : '', target === targets[0] ? String(aim) : '',
      ];
    });
    const head = ['format', 'seconds', 'MB', 'MB/s', 'k rows/s', "× InfluxDB's JSON", 'aim'];
    const notes = [
      ...circumstances(),
      `\`npm run bench -- rows\`: ${points} rows of 5 columns (\`${statement}\`), without compression. A figure is the median of ${size.turns} ` +
        'turns. JSON, CSV and msgpack have `chunked=true`.',
    ];
    for (const cells of [head, ...rows]) console.log(`  ${cells.join(' | ')}`);
    record({ title: 'A large result', notes, head, rows, compared: ["× InfluxDB's JSON"], partial: isQuick || !json });
  } finally {
    await stopAll(targets);
  }
}
