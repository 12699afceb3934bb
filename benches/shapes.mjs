// Generates points of five shapes from a seed, as batches of line protocol.

import { batches, fields, random } from './tsbs.mjs';

const startNs = 1_451_606_400_000_000_000n;

/** Returns a normally distributed number with mean 0 and standard deviation 1. */
function normal(draw) {
  return (draw() + draw() + draw() + draw() - 2) * 1.7;
}

/** 200 trucks have random walks with decimals, integers, booleans, strings and gaps. */
function* iot({ points = 5000, seed = 2 } = {}) {
  const draw = random(seed);
  const trucks = Array.from({ length: 200 }, () => [50, 50, 50, 50]);
  for (let line = 0; ; ) {
    const lines = [];
    let values = 0;
    for (; lines.length < points; line++) {
      const truck = (line >> 1) % 200;
      const walk = trucks[truck];
      const time = startNs + BigInt(Math.floor(line / 400)) * 10_000_000_000n;
      const tags = `name=truck_${truck},fleet=South,driver=Trish,model=H-2`;
      if (line % 2 === 0) {
        walk[0] += normal(draw) / 1e3;
        walk[1] += normal(draw) / 1e3;
        walk[2] = Math.min(120, Math.max(0, walk[2] + normal(draw)));
        const place = `latitude=${walk[0].toFixed(3)},longitude=${walk[1].toFixed(3)}`;
        const way = `velocity=${Math.round(walk[2])}i,heading="${'NESW'[truck % 4]}"`;
        lines.push(`readings,${tags} ${place},${way} ${time}`);
        values += 4;
      } else {
        walk[3] = Math.max(0, walk[3] - draw() / 100);
        const fuel = `fuel=${walk[3].toFixed(1)}`;
        const status = draw() < 0.98 ? 'running' : 'idle';
        const all = draw() >= 0.05;
        const rest = all ? `,load=${truck * 7}i,on=true,status="${status}"` : '';
        lines.push(`diagnostics,${tags} ${fuel}${rest} ${time}`);
        values += all ? 4 : 1;
      }
    }
    yield { body: Buffer.from(`${lines.join('\n')}\n`), values };
  }
}

function* million({ points = 5000 } = {}) {
  for (let first = 0; ; first += points) {
    const line = (_, i) => {
      const n = first + i;
      const id = String(n).padStart(7, '0');
      return `m,id=device-${id},site=s${n % 50} v=${n % 90}i ${startNs}`;
    };
    const lines = Array.from({ length: points }, line);
    yield { body: Buffer.from(`${lines.join('\n')}\n`), values: points };
  }
}

function* cpu(options = {}) {
  const values = (options.points ?? 5000) * fields.length;
  for (const body of batches(options)) yield { body, values };
}

/** The name, the target for the bytes per value, the number of batches, and the generator. */
export const shapes = [
  ['cpu integers', 0.31, 173, cpu],
  ['two decimals', 1.15, 173, (options) => cpu({ ...options, print: (value) => value.toFixed(2) })],
  ['full floats', 6.3, 173, (options) => cpu({ ...options, print: String })],
  ['iot mix', 0.9, 200, iot],
  ['million series', 6, 200, million],
];

/** Yields a point of each of a hundred hosts every five minutes. Thirty days are 173 batches. */
export const month = () => cpu({ stepNs: 300_000_000_000n });
