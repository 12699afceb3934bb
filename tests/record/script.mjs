// Parses and prints query scripts. tests/data/query/README.md specifies the language.

/** `answer` contains the indented lines, without the indentation. */
export function parseScript(text, file) {
  const steps = [];
  let step = null;
  text.split('\n').forEach((line, index) => {
    const at = `${file}:${index + 1}`;
    if (/\s$/.test(line)) throw new Error(`${at}: space at the end of the line`);
    if (line.startsWith('  ') && step) {
      step.body.push(line.slice(2));
    } else if (line === '') {
      if (step) step.body.push('');
      else steps.push({ kind: 'text', head: line, body: [], at });
    } else if (line.startsWith(' ')) {
      throw new Error(`${at}: an indented line that belongs to no step`);
    } else {
      const kind = kindOf(line, at);
      const next = { kind, head: line, body: [], at };
      if (kind === 'write') Object.assign(next, parseWrite(line, at));
      if (kind === 'query') Object.assign(next, parseQuery(line, at));
      steps.push(next);
      step = kind === 'text' ? null : next;
    }
  });
  for (const each of steps) splitTrailingBlank(each);
  return steps;
}

function kindOf(line, at) {
  if (line.startsWith('#')) return 'text';
  if (line === 'drain') return 'drain';
  const word = line.split(' ', 1)[0];
  if (word === 'write') return 'write';
  if (word === 'query' || word === 'query-unordered') return 'query';
  throw new Error(`${at}: expected a comment, write, query, query-unordered or drain`);
}

function splitTrailingBlank(step) {
  let end = step.body.length;
  while (end > 0 && step.body[end - 1] === '') end -= 1;
  step.blank = step.body.length - end;
  step.body.length = end;
}

function parseWrite(line, at) {
  const [, db, ...options] = line.split(' ');
  if (!db) throw new Error(`${at}: write needs a database`);
  const write = { db, rp: '', precision: '' };
  for (const option of options) {
    const [key, value] = option.split(/=(.*)/s);
    if (key !== 'rp' && key !== 'precision') throw new Error(`${at}: unknown option ${option}`);
    write[key] = value;
  }
  return write;
}

const VALUED = ['epoch', 'rp', 'params', 'chunked', 'accept'];
const FLAGS = ['chunked', 'pretty', 'text', 'get', 'by-hand'];

function parseQuery(line, at) {
  let [, word, db, rest] = /^(\S+) (\S+) ?(.*)$/s.exec(line) ?? [];
  if (!db) throw new Error(`${at}: query needs a database, or -`);
  const query = { unordered: word === 'query-unordered', db: db === '-' ? '' : db, options: {} };
  for (;;) {
    const [, key, value, after] = /^([a-z-]+)(?:=(\S*))?(?: (.*)|)$/s.exec(rest) ?? [];
    const known = value === undefined ? FLAGS.includes(key) : VALUED.includes(key);
    if (!known) break;
    query.options[key] = value ?? true;
    rest = after ?? '';
  }
  const { options } = query;
  query.statement = rest;
  query.isText = Boolean(options.text || options.pretty || options.chunked || options.accept);
  return query;
}

export function queryParams({ db, options, statement }) {
  const params = new URLSearchParams();
  if (db) params.set('db', db);
  for (const key of ['epoch', 'rp', 'params']) {
    if (options[key]) params.set(key, options[key]);
  }
  if (options.pretty) params.set('pretty', 'true');
  if (options.chunked) params.set('chunked', 'true');
  if (typeof options.chunked === 'string') params.set('chunk_size', options.chunked);
  params.set('q', statement);
  return params;
}

/** Uses the current contents of the bodies. */
export function printScript(steps) {
  const lines = [];
  for (const { kind, head, body, blank } of steps) {
    lines.push(head, ...body.map((line) => (line === '' ? '' : `  ${line}`)));
    const gap = kind === 'query' ? Math.max(blank, 1) : blank;
    for (let i = 0; i < gap; i += 1) lines.push('');
  }
  while (lines.at(-1) === '') lines.pop();
  return `${lines.join('\n')}\n`;
}
