// The card of the selected database, with its size and its costs so far.

import { querySeries } from '../api/query.js';
import { policies } from '../api/schema.js';
import { currentPlace, canQuery } from '../api/transport.js';
import { button, el, entry } from '../dom.js';
import { quoted } from '../influxql/statements.js';
import { onScreen } from './on_screen.js';

/**
 * In dollars, as in docs/costs.json. A write costs one request to the Worker, and one request to an
 * object for each shard.
 */
const prices = {
  writeRequest: 0.45e-6,
  rowWritten: 1e-6,
  rowRead: 1e-9,
  byteMonth: 0.2e-9,
  objectRequest: 0.15e-6,
  objectSecond: 1.6e-6,
};

const units = ['bytes', 'KB', 'MB', 'GB', 'TB'];

/** Returns a number of bytes as text with three significant digits. */
function bytesText(bytes) {
  const power = bytes < 1000 ? 0 : Math.min(4, Math.floor(Math.log10(bytes) / 3));
  return `${Number((bytes / 1000 ** power).toPrecision(3))} ${units[power]}`;
}

function dollars(amount) {
  if (amount === 0) return '$0';
  return amount < 0.01 ? 'under 1 ¢' : `$${amount.toFixed(2)}`;
}

const whole = (number) => number.toLocaleString('en');
const line = (label, value, title = '') => entry(label, value, { title });

const limits = {
  points_per_minute: ['Points per minute', whole],
  requests_per_minute: ['Requests per minute', whole],
  cells_per_minute: ['Values per minute', whole],
  stored_bytes: ['Stored', bytesText],
  series: ['Series (estimated)', whole],
};

/** Includes the limits of tokens and users. */
function quotaLines(tags, rows) {
  const [whose] = ['token', 'user'].filter((key) => tags[key]).map((key) => `${key} ${tags[key]}`);
  return rows.map(([limit, allowed, used]) => {
    const [name, text] = limits[limit] ?? [limit, whole];
    const figures = `${text(Number(used))} of ${text(Number(allowed))}`;
    const of = whose ? `The quota of ${whose}` : 'The quota for all clients together';
    return line(whose ? `${name}, ${whose}` : name, figures, of);
  });
}

/**
 * Returns the sums of the counters of all objects. Throws if the token cannot read the whole
 * database.
 */
async function stats(db) {
  const series = await querySeries(`SHOW STATS ON ${quoted(db)}`);
  const sums = {
    diskBytes: 0,
    numMeasurements: 0,
    rowsRead: 0,
    rowsWritten: 0,
    writePointsOk: 0,
    writeReqOk: 0,
  };
  const quotas = [];
  const days = [];
  for (const { name, tags, columns, values } of series) {
    if (tags?.database !== db) continue;
    if (name === 'usage') {
      days.push(...values.map((row) => Object.fromEntries(columns.map((key, at) => [key, row[at]]))));
      continue;
    }
    const [row] = values;
    if (name === 'quota') quotas.push(...quotaLines(tags, values));
    for (const key of Object.keys(sums)) {
      const at = columns.indexOf(key);
      if (at >= 0) sums[key] += Number(row[at]);
    }
  }
  return { ...sums, quotas, days };
}

/** Returns the lines about the costs of today and yesterday. The object time is an estimate. */
function dayLines(days) {
  const { objectRequest, objectSecond, rowWritten, rowRead } = prices;
  const names = ['Today (UTC)', 'Yesterday'];
  return days.slice(-names.length).reverse().map((day, at) => {
    const { requests, objectSecondsEstimate: seconds } = day;
    const cost = requests * objectRequest + seconds * objectSecond + day.rowsWritten * rowWritten + day.rowsRead * rowRead;
    const parts = [
      `${whole(requests)} requests`,
      `${whole(day.rowsWritten)} rows written`,
      `${whole(day.rowsRead)} rows read`,
      `about ${whole(seconds)} s of object time`,
      dollars(cost),
    ];
    const title = `${day.day}: requests and alarms of the database's objects, at 50 ms of object time each`;
    return line(names[at], parts.join(' · '), title);
  });
}

/** Returns a FROM clause with all measurements in all policies. */
const everything = async (db) =>
  (await policies(db)).map(({ name }) => `${quoted(name)}./.*/`).join(', ');

/**
 * Returns the number of series. The page queries this number only after a click, because every
 * shard must list its series.
 */
async function seriesCount(db) {
  const series = await querySeries(
    `SHOW SERIES EXACT CARDINALITY ON ${quoted(db)} FROM ${await everything(db)}`,
  );
  return series.reduce((sum, { values: [[count]] }) => sum + count, 0);
}

async function ends(db) {
  const q = `SELECT * FROM ${await everything(db)} ORDER BY time`;
  const [oldest, newest] = await Promise.all(
    ['ASC', 'DESC'].map(async (way) => {
      const series = await querySeries(`${q} ${way} LIMIT 1`, { db });
      return series.map(({ values: [[time]] }) => time).sort();
    }),
  );
  return { oldest: oldest[0], newest: newest.at(-1) };
}

const timeText = (time) =>
  time ? time.replace('T', ' ').replace(/(\.\d{3})\d*Z|Z$/, '$1') : 'none';

/** Creates the card. `fill(db)` loads the numbers when the card becomes visible. */
export function card() {
  const element = el('section', {
    class: 'card',
    'aria-label': 'About the database',
    hidden: true,
  });
  let asked = 0;
  return {
    element,
    fill(db) {
      asked += 1;
      const mine = asked;
      element.hidden = !db || !canQuery();
      if (element.hidden) return;
      if (element.dataset.db !== db) element.replaceChildren(el('h3', {}, db));
      element.dataset.db = db;
      onScreen(element, async () => {
        if (mine !== asked) return;
        const [counted, found] = await Promise.all(
          [stats(db), ends(db)].map((answer) => answer.catch((error) => error)),
        );
        if (mine !== asked) return;
        element.hidden = [counted, found].every((answer) => answer instanceof Error);
        show(element, db, counted, found);
      });
    },
  };
}

function seriesLine(db) {
  const place = el('dd');
  const count = async () => {
    place.textContent = '…';
    place.textContent = await seriesCount(db).then(whole, ({ message }) => message);
  };
  place.append(button('Count', count, { class: 'link' }));
  return el('div', {}, el('dt', {}, 'Series'), place);
}

function show(element, db, counted, found) {
  const points =
    found instanceof Error
      ? []
      : [line('Oldest point', timeText(found.oldest)), line('Newest point', timeText(found.newest))];
  const lines =
    counted instanceof Error
      ? [seriesLine(db), ...points, line('Size and cost', 'require a token that can read the whole database')]
      : [
          line('Size', bytesText(counted.diskBytes)),
          line('Measurements', whole(counted.numMeasurements)),
          seriesLine(db),
          ...points,
          line('Points written', whole(counted.writePointsOk)),
          ...counted.quotas,
          // The engine in the browser counts no rows and costs nothing.
          ...(currentPlace() === 'server' ? costLines(counted) : []),
        ];
  element.replaceChildren(el('h3', {}, db), el('dl', {}, lines));
}

function costLines({ writeReqOk, rowsWritten, rowsRead, days, diskBytes }) {
  const costs = (count, price) => `${whole(count)} · ${dollars(count * price)}`;
  return [
    line(
      'Write requests',
      costs(writeReqOk, prices.writeRequest),
      'Requests to the Worker and to an object, at $0.45 per million; `tidemark costs` also shows the object time',
    ),
    line(
      'Rows written',
      costs(rowsWritten, prices.rowWritten),
      'Storage rows, at $1 per million, counted since the shards were created',
    ),
    line('Rows read', costs(rowsRead, prices.rowRead), 'Storage rows, at $0.001 per million'),
    ...dayLines(days),
    line('Storage', `${dollars(diskBytes * prices.byteMonth)} a month`, '$0.20 per GB and month'),
  ];
}
