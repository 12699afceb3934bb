// Generates the same points in every run, as request bodies of line protocol.

import { random } from '../tsbs.mjs';

export const startS = 1_451_606_400;
export const dayS = 86_400;
const linesPerBody = 10_000;

export function* bodies(lines, most = linesPerBody) {
  let gathered = [];
  for (const line of lines) {
    gathered.push(line);
    if (gathered.length === most) {
      yield gathered.join('\n');
      gathered = [];
    }
  }
  if (gathered.length > 0) yield gathered.join('\n');
}

/**
 * Yields lines in which every series has one point with a full-precision float at each time step.
 */
export function* month({ points, series, days, seed = 1 }) {
  const draw = random(seed);
  const steps = Math.floor(points / series);
  const stepMs = Math.floor((days * dayS * 1000) / steps);
  for (let step = 0; step < steps; step++) {
    const time = startS * 1000 + step * stepMs;
    for (let s = 0; s < series; s++) yield `m,host=h${s},site=t${s % 10} v=${draw() * 100} ${time}`;
  }
}

/**
 * Yields lines that alternate between all measurements, so that each flush contains every
 * measurement.
 */
export function* manyMeasurements({ measurements, rows, from = 0, seed = 1 }) {
  const draw = random(seed);
  for (let row = from; row < from + rows; row++) {
    const time = (startS + row * 10) * 1000;
    for (let m = 0; m < measurements; m++) {
      yield `m${m},host=h${row % 3} v=${draw() * 100},w=${draw()} ${time + (m % 1000)}`;
    }
  }
}

/**
 * Yields the lines of one round, in which every series has `points` points within one hour. The
 * times of different rounds overlap.
 */
export function* round({ series, points, number }) {
  const draw = random(number + 1);
  for (let point = 0; point < points; point++) {
    for (let s = 0; s < series; s++) {
      const time = (startS + ((s * 37 + number * 101 + point * 211) % 3600)) * 1000 + number;
      yield `m,id=s${s},rack=r${s % 1000},site=t${s % 10} v=${draw() * 100} ${time}`;
    }
  }
}
