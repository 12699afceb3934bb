// Sends strings with quotes, backslashes, commas and spaces to a real InfluxDB 1.x, and records the
// results for tests/it/line_protocol/strings.rs.
//
//   node tests/record/strings.mjs [--random N] [--seed N] [--out FILE] [--check]
//
// Without options, replaces tests/data/line_protocol/strings.jsonl. With --check, only compares.
// Each line of the file contains a text that was sent as a field's value, and the stored fields or
// null. The file begins with all short texts that the server accepts. Texts of real clients and
// random texts follow, including texts that the server rejected.

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startInfluxd } from './influxd.mjs';

const RECORDED = fileURLToPath(new URL('../data/line_protocol/strings.jsonl', import.meta.url));
/** The letters of the short texts, and the maximum number of letters after the quote. */
const SHORT = { letters: ['"', '\\', ',', ' ', '=', 'a'], most: 5 };
/** The letters that can end or escape a value occur several times. */
const LETTERS = [...'""""\\\\,, =ab1\nü'];
const RANDOM_LENGTH_MAX = 24;
const AT_ONCE = 16;
const SINGLE = [
  '"with "quotes""', '"a"b"c"', '"x"y",t=1', '"he said "no, never""', '"say "C:\\" twice"',
  '"a"\tb"c"', '"a"\rb"c"', '"a"#b"c"', '"a"\\\n"c"', '"a"\n"c"', '"5" pipe"', '"a""\r',
];

const { values: options } = parseArgs({
  options: {
    random: { type: 'string', default: '2000' },
    seed: { type: 'string', default: '1' },
    out: { type: 'string', default: RECORDED },
    check: { type: 'boolean', default: false },
  },
});

let influxd;
let asked = 0;
await started();
try {
  const short = await answers(shortTexts());
  const random = randomTexts(Number(options.random), Number(options.seed));
  const lines = [
    ...short.filter(([, fields]) => fields),
    ...(await answers([...SINGLE, ...random])),
  ];
  const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
  const stored = lines.filter(([, fields]) => fields).length;
  console.log(`${lines.length} texts, ${stored} of them stored`);
  if (!options.check) writeFileSync(options.out, text);
  else if (text !== readFileSync(options.out, 'utf8')) throw new Error(`${options.out} differs`);
} finally {
  await influxd.stop();
}

async function started() {
  influxd = await startInfluxd();
  await ask('/query', { q: 'CREATE DATABASE d' });
}

function shortTexts() {
  let last = ['"'];
  const texts = [...last];
  for (let length = 2; length <= SHORT.most; length += 1) {
    last = last.flatMap((text) => SHORT.letters.map((letter) => text + letter));
    texts.push(...last);
  }
  return texts;
}

function randomTexts(count, seed) {
  // This linear congruential generator (Knuth's MMIX) produces the same sequence on every machine.
  let state = BigInt(seed);
  const below = (limit) => {
    state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffff_ffff_ffff_ffffn;
    return Number((state >> 33n) % BigInt(limit));
  };
  return Array.from({ length: count }, () => {
    const length = below(RANDOM_LENGTH_MAX);
    const inner = Array.from({ length }, () => LETTERS[below(LETTERS.length)]);
    return `"${inner.join('')}"`;
  });
}

/** Restarts the server, because some texts crash it. */
async function answers(texts) {
  const found = [];
  for (let start = 0; start < texts.length; start += AT_ONCE) {
    const some = texts.slice(start, start + AT_ONCE);
    const all = await Promise.all(some.map(answer)).catch(() => null);
    if (all) {
      found.push(...all);
      continue;
    }
    for (const text of some) {
      if (!(await isAlive())) await started();
      found.push(await answer(text).catch(() => [text, null]));
    }
  }
  return found;
}

async function isAlive() {
  const reply = await fetch(`${influxd.url}/ping`).catch(() => null);
  return reply?.status === 204;
}

async function answer(text) {
  asked += 1;
  const measurement = `m${asked}`;
  await ask('/write', { db: 'd' }, `${measurement} s=${text} 1`);
  const { results } = await ask('/query', { db: 'd', q: `SELECT * FROM ${measurement}` });
  const [series] = results[0].series ?? [];
  if (!series) return [text, null];
  const [row] = series.values;
  const fields = series.columns.map((name, at) => [name, row[at]]);
  return [text, Object.fromEntries(fields.filter(([name]) => name !== 'time'))];
}

async function ask(path, parameters, body) {
  const url = `${influxd.url}${path}?${new URLSearchParams(parameters)}`;
  const reply = await fetch(url, { method: 'POST', body });
  const text = await reply.text();
  return text ? JSON.parse(text) : null;
}
