// Measures the CPU seconds and the memory of a process and its descendants on Linux.

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

/** Returns a map with the process `pid` and its descendants. */
function tree(pid) {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number);
  const stats = new Map(pids.map((p) => /** @type {const} */ ([p, stat(p)])).filter(([, s]) => s));
  const within = (p) => p === pid || (stats.has(p) && within(stats.get(p).parent));
  return new Map([...stats].filter(([p]) => within(p)));
}

/** Sums the user and system time of all processes in the process tree of `pid`. */
export function cpuSeconds(pid) {
  let sum = 0;
  for (const { ticks: used } of tree(pid).values()) sum += used;
  return sum / ticks;
}

/** Returns the resident memory of each process of the tree in MB. */
export function residentMbOfEach(pid) {
  const kb = (p) => Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${p}/status`, 'utf8'))?.[1] ?? 0);
  return [...tree(pid).keys()].map((p) => (kb(p) * 1024) / 1e6);
}
