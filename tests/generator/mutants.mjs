// Derives wrong responses from correct responses. No rule may excuse a wrong response.

import { JsonNumber } from '../record/json.mjs';
import { json, parsed, resultsOf, sameAnswer, seriesOf } from './answers.mjs';

const middle = (list) => Math.floor(list.length / 2);
const seriesAmid = (document) => seriesOf(document)[middle(seriesOf(document))];
const rowsAmid = (document) => seriesAmid(document)?.get('values') ?? [];
/** Returns the only result that has series. */
const shown = (document) => resultsOf(document).filter((result) => result.get('series')?.length);

/** Each mutation changes a document. It returns false if it cannot change this document. */
const FAULTS = {
  'another error'(document) {
    const failed = [document, ...resultsOf(document)].find((one) => one.has?.('error'));
    if (!failed) return false;
    failed.set('error', `${failed.get('error')}, or so`);
  },
  'an error where there is none'(document) {
    const [result] = resultsOf(document);
    if (!result || result.has('error')) return false;
    result.set('error', 'out of luck');
  },
  'another value': (document) => changeCell(rowsAmid(document), 1),
  'another value in the last column': (document) => changeCell(rowsAmid(document), -1),
  'another time'(document) {
    const row = seriesOf(document).at(-1)?.get('values').at(-1);
    if (!(row?.[0] instanceof JsonNumber)) return false;
    row[0] = new JsonNumber(String(BigInt(row[0].text) + 1_000_000_000n));
  },
  'no first row': (document) => without(rowsAmid(document), 0),
  'a row less': (document) => without(rowsAmid(document), middle(rowsAmid(document))),
  'no last row': (document) => without(rowsAmid(document), -1),
  'a row twice'(document) {
    const rows = rowsAmid(document);
    if (rows.length === 0) return false;
    rows.splice(middle(rows), 0, rows[middle(rows)]);
  },
  'a row too many'(document) {
    const last = rowsAmid(document).at(-1);
    if (!(last?.[0] instanceof JsonNumber)) return false;
    rowsAmid(document).push([new JsonNumber(String(BigInt(last[0].text) + 1_000_000_000n)), ...last.slice(1)]);
  },
  'rows in another order': (document) => rowsAmid(document).length > 1 && void rowsAmid(document).reverse(),
  'a column of another name': (document) => rename(seriesAmid(document)?.get('columns')),
  'a measurement of another name'(document) {
    if (!seriesAmid(document)?.has('name')) return false;
    seriesAmid(document).set('name', `${seriesAmid(document).get('name')}2`);
  },
  'a tag of another value'(document) {
    const tags = seriesAmid(document)?.get('tags');
    if (!tags) return false;
    const [key, value] = [...tags].at(-1);
    tags.set(key, `${value}?`);
  },
  'a series less'(document) {
    const [result] = shown(document);
    if (!result) return false;
    result.get('series').splice(middle(result.get('series')), 1);
    if (result.get('series').length === 0) result.delete('series');
  },
  'no last series': (document) => seriesOf(document).length > 1 && void shown(document)[0].get('series').pop(),
  'series in another order'(document) {
    const [result] = shown(document);
    return (result?.get('series').length ?? 0) > 1 && void result.get('series').reverse();
  },
  'a series where there is none'(document) {
    const [result] = resultsOf(document);
    if (!result || result.has('series') || result.has('error')) return false;
    const values = [[new JsonNumber('0'), new JsonNumber('1')]];
    result.set('series', [new Map([['name', 'cpu'], ['columns', ['time', 'c0']], ['values', values]])]);
  },
};

/** Returns the wrong responses, each with the name of its mutation. */
export function mutants(query, theirs, ours) {
  return Object.entries(FAULTS).flatMap(([what, change]) => {
    const document = parsed(ours[1]);
    if (!document || change(document) === false) return [];
    const answer = [ours[0], `${json(document)}\n`];
    // Rows with the same time may be in any order, so a changed order of such rows is not wrong.
    return [ours, theirs].some((known) => sameAnswer(query, known, answer)) ? [] : [{ what, answer }];
  });
}

function changeCell(rows, column) {
  const row = rows[middle(rows)];
  if (!row || row.length < 2) return false;
  row.splice(column, 1, other(row.at(column)));
}

function without(rows, at) {
  if (rows.length === 0) return false;
  rows.splice(at, 1);
}

function rename(columns) {
  if (!columns) return false;
  columns[columns.length - 1] += '_2';
}

function other(cell) {
  if (cell instanceof JsonNumber) return new JsonNumber(String(Number(cell.text) + 0.777));
  return typeof cell === 'string' ? `${cell}?` : new JsonNumber('7.777');
}
