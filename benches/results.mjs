// Writes RESULTS.md, which contains the latest table of every benchmark in `npm run bench`. A
// complete table replaces the table with the same title. `record` prints each compared ratio that
// has become more than 15 % smaller.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';

import { at } from '../scripts/project.mjs';

const file = at('benches', 'RESULTS.md');

/** A ratio below this fraction of the last ratio is reported. */
const fallen = 0.85;

const preface = `# Results

This page is for readers who compare Tidemark with other databases. It contains the latest figures of
each benchmark, which \`npm run bench\` writes ([method](README.md)). The command also reports each
ratio that fell by more than 15 % since the previous run. Absolute figures depend on the machine and
its other load. For a ratio, both systems ran alternately in one run.
`;

/**
 * Prints one sentence for each compared cell that has become smaller. `compared` lists the columns
 * with ratios. The first column identifies a row. A `partial` table is compared but not written.
 */
export function record({ title, notes = [], head, rows, compared = [], partial = false }) {
  const text = existsSync(file) ? readFileSync(file, 'utf8') : preface;
  const sections = text.split(/^(?=## )/m);
  const found = sections.findIndex((section) => section.startsWith(`## ${title}\n`));
  const before = found < 0 ? [] : cells(sections[found]);
  const section = [`## ${title}`, '', ...notes.map((note) => `- ${note}`), '', ...table(head, rows)];
  const written = `${section.join('\n')}\n\n`;
  if (found < 0) sections.push(written);
  else sections[found] = written;
  if (!partial) writeFileSync(file, `${sections.map((part) => part.trimEnd()).join('\n\n')}\n`);
  for (const fall of falls(before, [head, ...rows], compared)) console.log(`FELL: ${title}, ${fall}`);
}

export function circumstances() {
  const [{ model }] = cpus();
  const memory = Math.round(totalmem() / 2 ** 30);
  const day = new Date().toISOString().slice(0, 10);
  return [
    `${day}, revision ${output('git', ['rev-parse', '--short', 'HEAD'])}`,
    `${cpus().length} × ${model.trim()}, ${memory} GB, shared with other work`,
    `Node ${process.versions.node}, wrangler ${version('wrangler')}, workerd ${version('workerd')}, ` +
      output('influxd', ['version']).split(' (')[0],
  ];
}

function version(name) {
  return JSON.parse(readFileSync(at('node_modules', name, 'package.json'), 'utf8')).version;
}

function output(command, args) {
  try {
    return execFileSync(command, args, { cwd: at(), encoding: 'utf8', stdio: 'pipe' }).trim();
  } catch {
    return `no ${command}`;
  }
}

/** Returns the lines of a table in Markdown. */
export function table(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, i) => (i ? '--:' : '---'))), ...rows.map(line)];
}

function cells(section) {
  const lines = section.split('\n').filter((line) => line.startsWith('| '));
  const split = lines.map((line) => line.slice(2, -2).split(' | '));
  return split.filter((_, i) => i !== 1);
}

function falls([head = [], ...rows], [newHead, ...newRows], compared) {
  const sentences = [];
  for (const row of newRows) {
    const last = rows.find(([name]) => name === row[0]);
    for (const column of last ? compared : []) {
      const [was, is] = [last[head.indexOf(column)], row[newHead.indexOf(column)]].map(parseFloat);
      if (is < was * fallen) sentences.push(`${row[0]}, ${column}: fell from ${was} to ${is}`);
    }
  }
  return sentences;
}
