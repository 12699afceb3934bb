// Measures the CPU seconds of a process and its descendants on Linux.

import { readdirSync, readFileSync } from 'node:fs';

/** The ticks per second in /proc, on every Linux that Node supports. */
const ticks = 100;

function stat(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const cells = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { parent: Number(cells[1]), ticks: Number(cells[11]) + Number(cells[12]) };
  } catch {
    return null; // The process has ended.
  }
}

/** Sums the user and system time of all processes in the process tree of `pid`. */
export function cpuSeconds(pid) {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number);
  const stats = new Map(pids.map((p) => /** @type {const} */ ([p, stat(p)])).filter(([, s]) => s));
  const within = (p) => p === pid || (stats.has(p) && within(stats.get(p).parent));
  let sum = 0;
  for (const [p, s] of stats) if (within(p)) sum += s.ticks;
  return sum / ticks;
}
