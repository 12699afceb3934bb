// The time range picker. A range is a length of time before now, the time between two times, or all
// times.

import { button, el } from '../dom.js';
import { bounds, lengths } from '../influxql/range.js';
import { change, current, onChange } from '../state.js';
import { menu } from './menu.js';

/** Omits a zero time of day, zero seconds and zero milliseconds. */
const short = (text) => text.replace(/(T00:00)?(:00)?(\.000)?Z$/, '').replace('T', ' ');

function labelOf(range) {
  if (lengths[range]) return lengths[range].label;
  if (!bounds(range, 0)) return 'Any time';
  const [from, to] = range.split('..').map(short);
  // If both times are on the same day, displays the date only once.
  const isOneDay = to.length > 10 && from.slice(0, 11) === to.slice(0, 11);
  return `${from} – ${isOneDay ? to.slice(11) : to}`;
}

export function rangePicker(picked) {
  const text = el('span');
  const opener = button([text], null, { icon: 'clock', class: 'quiet' });
  const show = () => (text.textContent = labelOf(current().range));
  onChange(show);
  show();
  const choose = (range, close) => {
    change({ range });
    close();
    picked();
  };
  return menu(opener, 'Time range', (panel, close) => {
    const one = (range) =>
      button(labelOf(range), () => choose(range, close), {
        class: 'choice',
        'aria-pressed': String(current().range === range),
      });
    panel.append(
      el('div', { class: 'choices' }, one('all'), ...Object.keys(lengths).map(one)),
      exactTimes(choose, close),
    );
  });
}

function exactTimes(choose, close) {
  const limits = bounds(current().range, Date.now());
  const iso = (ms) => (limits ? new Date(ms).toISOString().slice(0, 19) : '');
  const field = (name, value) => el('input', { name, value, placeholder: '2026-01-31T12:00:00' });
  const from = field('from', iso(limits?.from_ms));
  const to = field('to', iso(limits?.to_ms));
  const wrong = el('p', { class: 'wrong', role: 'alert' });
  const submit = (event) => {
    event.preventDefault();
    const times = [from, to].map(({ value }) => {
      const text = value.trim().replace(' ', 'T');
      return Date.parse(/(Z|[+-]\d\d:\d\d)$/.test(text) || !text.includes('T') ? text : `${text}Z`);
    });
    if (!(times[0] < times[1])) {
      wrong.textContent = 'Enter two times in UTC, the first before the second, such as 2026-01-31T12:00:00';
      return;
    }
    choose(times.map((ms) => new Date(ms).toISOString()).join('..'), close);
  };
  return el(
    'form',
    { class: 'stack', on: { submit } },
    el('label', {}, 'From (UTC)', from),
    el('label', {}, 'Until (UTC)', to),
    wrong,
    el('button', { type: 'submit' }, 'Use these times'),
  );
}
