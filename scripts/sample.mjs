// Generates the console's sample data: the daily weather of Seattle and New York from 2012 to 2015.
//
// The source is NOAA Climate Data Online, a public-domain data set of the United States government.
// The package vega-datasets contains it as `data/weather.csv`.

import { readFileSync } from 'node:fs';

import { at } from './project.mjs';

const numbers = ['precipitation', 'temp_max', 'temp_min', 'wind'];

/** Returns one line per city and day, with timestamps in seconds. */
export function sampleLines() {
  const text = readFileSync(at('node_modules', 'vega-datasets', 'data', 'weather.csv'), 'utf8');
  const [head, ...rows] = text.trim().split(/\r?\n/);
  const names = head.split(',');
  const lines = rows.map((row) => {
    const day = Object.fromEntries(row.split(',').map((cell, index) => [names[index], cell]));
    const city = day.location.replace(' ', '\\ ');
    const fields = numbers.map((name) => `${name}=${Number(day[name])}`);
    const seconds = Date.parse(`${day.date}T00:00:00Z`) / 1000;
    return `weather,city=${city} ${fields.join(',')},sky="${day.weather}" ${seconds}\n`;
  });
  return lines.join('');
}
