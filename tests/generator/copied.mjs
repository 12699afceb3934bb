// Avoids a defect of 1.x: if a condition casts one field to several types, such as `a::float` and
// `a::integer`, 1.x stores the values by the field's name and applies only one of the casts.
// Therefore stores a separate copy of the field for each cast.

import { json, seriesOf } from './answers.mjs';
import { linesOf } from './lines.mjs';
import { clauses, statement } from './statement.mjs';
import { scratch } from './stored.mjs';

const NAMED = /'(?:[^'\\]|\\.)*'|\/(?:[^/\\]|\\.)*\/|\b([a-z]\w*)((?:::\w+)?)/g;
const COPY = /(?:^|_)copy\d+$/;
const nested = ({ FROM }) => /^\((SELECT .*)\)$/s.exec(FROM ?? '')?.[1];
const innermost = (text) => (nested(clauses(text)) ? innermost(nested(clauses(text))) : clauses(text));

/** Returns whether the innermost condition casts a field to different types. */
export function hasCasts(text) {
  const casts = new Map();
  const found = [...(innermost(text).WHERE ?? '').matchAll(NAMED)].filter(([, name]) => name);
  return found.some(([, name, cast]) => casts.has(name) ? casts.get(name) !== cast : !casts.set(name, cast));
}

/** Whether the real server returns Tidemark's response if the statement reads the copies. */
export async function isOverCopies({ text, theirs, env, isSame }) {
  const inner = innermost(text);
  const [, source] = /^(\w+)\.(?:autogen)?\./.exec(inner.FROM) ?? [];
  if (!source || /\(/.test(inner.FROM)) return false;
  const known = seriesOf(env.parsed(await env.real(`SHOW FIELD KEYS FROM ${inner.FROM}`, source)));
  const fields = new Set(known.flatMap((series) => series.get('values').map(([key]) => key)));
  const copies = [];
  const WHERE = inner.WHERE.replace(NAMED, (all, name, cast) => (fields.has(name) ? `copy${copies.push(name) - 1}${cast}` : all));
  const database = scratch();
  await env.real(`CREATE DATABASE ${database} WITH DURATION INF`);
  try {
    for (const measurement of known) {
      const name = measurement.get('name');
      const rows = env.parsed(await env.real(`SELECT * FROM ${source}.autogen."${name}" GROUP BY *`));
      for (const series of seriesOf(rows)) {
        const columns = series.get('columns');
        const own = copies.map((field, at) => [`copy${at}`, columns.indexOf(field)]).filter(([, place]) => place >= 0);
        series.set('columns', [...columns, ...own.map(([copy]) => copy)]);
        series.set('values', series.get('values').map((row) => [...row, ...own.map(([, place]) => row[place])]));
      }
      const types = new Map(measurement.get('values'));
      const copied = copies.map((field, at) => [`copy${at}`, types.get(field)]).filter(([, type]) => type);
      const keys = new Map([...measurement, ['values', [...types, ...copied]]]);
      await env.write(database, linesOf(new Map([['results', [new Map([['series', [keys]]])]]]), rows));
    }
    const moved = (one) => one.replaceAll(new RegExp(`\\b${source}\\.(?=\\.|autogen\\.)`, 'g'), `${database}.`);
    const ask = async (one) => {
      const document = env.parsed(await env.real(one));
      for (const series of seriesOf(document)) {
        const shown = series.get('columns').map((column) => !COPY.test(column));
        const kept = (list) => list.filter((_, at) => shown[at]);
        series.set('columns', kept(series.get('columns')));
        series.set('values', series.get('values').map(kept));
      }
      return document;
    };
    // Checks that the result is the same if the statement reads the copies without the changed
    // casts.
    const isCopy = json((await ask(moved(text))) ?? null) === json(theirs.document);
    const whole = moved(text.replace(statement(inner), () => statement({ ...inner, WHERE })));
    return isCopy && isSame(await ask(whole));
  } finally {
    await env.real(`DROP DATABASE ${database}`);
  }
}
