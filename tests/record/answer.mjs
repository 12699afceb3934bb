// Converts the body of a /query response to the lines of a query script
// (tests/data/query/README.md, "Answers"). Rejects members that InfluxDB does not return, and
// members in a wrong order.

import { JsonNumber, parseJson } from './json.mjs';

export function renderAnswer(query, status, body) {
  if (query.isText && status !== 200) return [`http ${status}`, ...textLines(body)];
  if (status !== 200) return [`http ${status} ${oneLine(body.trim())}`];
  if (query.isText) return textLines(body);
  const [results, failure] = members(parseJson(body), ['results', 'error']);
  if (failure !== undefined) return [`http ${status} ${oneLine(body.trim())}`];
  const lines = [];
  results.forEach((result, index) => {
    const [id, series, messages, partial, error] = members(result, RESULT);
    if (Number(id?.text) !== index) throw new Error(`statement_id ${id?.text} is result ${index}`);
    if (results.length > 1) lines.push(`statement ${index}`);
    (series ?? []).forEach((each, n) => lines.push(...(n > 0 ? [''] : []), ...seriesLines(each)));
    for (const message of messages ?? []) {
      const [level, text] = members(message, ['level', 'text']);
      lines.push(`message: ${level} ${phrase(text)}`);
    }
    if (partial) throw new Error('a partial result: ask for it as chunked');
    if (error !== undefined) lines.push(`error: ${phrase(error)}`);
  });
  return lines;
}

const RESULT = ['statement_id', 'series', 'messages', 'partial', 'error'];
const SERIES = ['name', 'tags', 'columns', 'values', 'partial'];

function members(object, allowed) {
  if (!(object instanceof Map)) throw new Error(`expected an object with ${allowed}`);
  const found = [...object.keys()];
  const inOrder = allowed.filter((key) => object.has(key));
  if (found.join() !== inOrder.join()) throw new Error(`members ${found}; allowed: ${allowed}`);
  return allowed.map((key) => object.get(key));
}

function textLines(body) {
  const lines = body.split('\n');
  // A script marks a body without a line break at its end, so the usual line break is removed here.
  if (lines.at(-1) === '') lines.pop();
  return lines.map((line) => `|${line}`);
}

// Returns the text as a JSON string if the text cannot be written unquoted at the end of a line.
function phrase(text) {
  return /^["\s]|\s$|\n|^$/.test(text) ? JSON.stringify(text) : text;
}

function oneLine(text) {
  if (/[\n\r]/.test(text)) throw new Error(`several lines: ${JSON.stringify(text)}`);
  return text;
}

function seriesLines(series) {
  const [name, tags, columns, values, partial] = members(series, SERIES);
  const head = [name === undefined ? '-' : name === '-' ? '"-"' : word(name)];
  for (const [key, value] of tags ?? []) head.push(`${word(key)}=${word(value)}`);
  if (partial) head.push('(partial)');
  const rows = (values ?? []).map((row) => {
    const [cells, wanted] = [row.length, columns.length];
    if (cells !== wanted) throw new Error(`${cells} cells, ${wanted} columns`);
    return row.map((value, at) => cell(value, columns[at]));
  });
  return [head.join(' '), ...align([columns.map(word), ...rows])];
}

function word(text) {
  return /^[\p{L}\p{Nd}_./%+*()-]+$/u.test(text) ? text : JSON.stringify(text);
}

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;

function cell(value, column) {
  if (value instanceof JsonNumber) return value.text;
  if (typeof value === 'string' && column === 'time' && TIME.test(value)) return value;
  if (typeof value === 'object' && value !== null) throw new Error('a cell that is no scalar');
  return JSON.stringify(value);
}

function align(table) {
  const widths = table[0].map((_, at) => Math.max(...table.map((row) => [...row[at]].length)));
  return table.map((row) =>
    row.map((text, at) => text + ' '.repeat(widths[at] - [...text].length)).join('  ').trimEnd(),
  );
}
