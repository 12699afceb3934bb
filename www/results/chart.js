// Draws a chart with uPlot. The result worker computes the lines of the chart.

import uPlot from 'uplot';

import { el } from '../dom.js';
import { legend } from './legend.js';

const heightMin = 200;

/** If a chart has more lines, the colours repeat. */
const colourCount = 10;
const colourOf = (index) => colour(`--line-${index % colourCount}`);

/** Returns a colour of the style sheet in the current colour scheme, for use in the canvas. */
function colour(name) {
  const probe = el('i', { hidden: true });
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

/** uPlot's formats for the time axis, by the distance between two marks in seconds. */
const [minute, day] = [60, 86_400];
const timeForms = [
  [day * 365, '{YYYY}', null, null, null, null, null, null, 1],
  [day * 28, '{MMM}', '\n{YYYY}', null, null, null, null, null, 1],
  [day, '{MMM} {D}', '\n{YYYY}', null, null, null, null, null, 1],
  [minute, '{HH}:{mm}', '\n{YYYY}-{MM}-{DD}', null, '\n{MM}-{DD}', null, null, null, 1],
  [1, '{HH}:{mm}:{ss}', '\n{YYYY}-{MM}-{DD}', null, '\n{MM}-{DD}', null, null, null, 1],
  [
    0.001,
    '{ss}.{fff}',
    '\n{YYYY}-{MM}-{DD} {HH}:{mm}',
    null,
    '\n{MM}-{DD} {HH}:{mm}',
    null,
    '\n{HH}:{mm}',
    null,
    1,
  ],
];

const utc = (seconds) => uPlot.tzDate(new Date(seconds * 1e3), 'Etc/UTC');

function axes() {
  const shared = {
    stroke: colour('--muted'),
    grid: { stroke: colour('--grid'), width: 1 },
    ticks: { stroke: colour('--grid'), width: 1, size: 5 },
    font: '12px system-ui, sans-serif',
  };
  const wide = (plot, values) => {
    const longest = Math.max(0, ...(values ?? []).map((text) => text.length));
    return 18 + longest * 7;
  };
  return [
    { ...shared, values: timeForms },
    { ...shared, size: wide },
  ];
}

/** With more lines, the points would cover the lines. */
const linesWithPoints = 10;

function seriesOf({ labels }) {
  return labels.map((label, index) => ({
    label,
    stroke: colourOf(index),
    width: 1.5,
    points: labels.length > linesWithPoints ? { show: false } : undefined,
    spanGaps: false,
  }));
}

/**
 * Calls `zoomed(from_ms, to_ms)` when the user selects a time range. `hidden` contains the labels
 * of hidden lines, also for the next chart.
 */
export function drawChart(host, chart, { zoomed, hidden }) {
  const area = el('div', { class: 'plot', role: 'img', 'aria-label': describe(chart) });
  const keys = legend(chart.labels, hidden, (index, isShown) =>
    plot.setSeries(index + 1, { show: isShown }),
  );
  host.replaceChildren(el('div', { class: 'plot-place' }, keys.time, area), keys.element);
  let plot = null;
  const size = () => ({
    width: Math.max(200, area.clientWidth),
    height: Math.max(heightMin, area.clientHeight),
  });
  const build = () => {
    plot?.destroy();
    /** @type {import('uplot').Options} */
    const options = {
      ...size(),
      tzDate: utc,
      legend: { show: false },
      cursor: { drag: { x: true, y: false, setScale: false }, points: { size: 7 } },
      scales: { x: { time: true } },
      series: [{}, ...seriesOf(chart)],
      axes: axes(),
      hooks: {
        setCursor: [({ cursor: { idx } }) => keys.values(valuesAt(chart, idx))],
        setSelect: [
          (drawn) => {
            const { left, width } = drawn.select;
            if (width < 4) return;
            const [from, to] = [left, left + width].map((x) => drawn.posToVal(x, 'x') * 1000);
            drawn.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            zoomed(from, to);
          },
        ],
      },
    };
    const seconds = chart.times_ms.map((ms) => ms / 1000);
    plot = new uPlot(options, [seconds, ...chart.columns], area);
    chart.labels.forEach((label, index) => {
      if (hidden.has(label)) plot.setSeries(index + 1, { show: false });
    });
  };
  build();
  const watch = new ResizeObserver(() => plot.setSize(size()));
  watch.observe(area);
  const scheme = matchMedia('(prefers-color-scheme: dark)');
  const rebuild = () => build();
  scheme.addEventListener('change', rebuild);
  return () => {
    watch.disconnect();
    scheme.removeEventListener('change', rebuild);
    plot.destroy();
  };
}

const describe = ({ labels, points }) =>
  `Chart of ${labels.length} lines, ${points} points: ${labels.slice(0, 5).join('; ')}`;

function valuesAt({ times_ms, columns }, index) {
  if (index === null || index === undefined) return null;
  return {
    time: new Date(times_ms[index]).toISOString(),
    values: columns.map((column) => column[index]),
  };
}
