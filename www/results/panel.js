// The result, with its views, statistics and actions.

import { button, el } from '../dom.js';
import { between, bounds } from '../influxql/range.js';
import { currentRun, form } from '../query/session.js';
import { change, current, onChange, resultViews } from '../state.js';
import { tabList } from '../tabs.js';
import { showPlans } from './explain.js';
import { showFigures } from './figures.js';
import { chartNotices } from './notices.js';
import { showRaw } from './raw.js';
import { showTables } from './table.js';
import { exportButtons } from './export_buttons.js';
import { follow } from './tail.js';

const titles = { chart: 'Chart', table: 'Table', raw: 'Raw', tail: 'Live tail' };
const number = (value) => value.toLocaleString('en');
const counted = (value, word) => `${number(value)} ${word}${value === 1 ? '' : 's'}`;
const noRows = () =>
  bounds(current().range, 0) ? 'This time range has no points.' : 'The result is empty.';

/**
 * Returns the result panel. It passes the server's errors to `failed(errors)`, and calls
 * `start(host)` to fill the panel before the first result.
 */
export function resultPanel({ again, failed, start }) {
  const hidden = new Set();
  const ranges = [];
  let leave = () => {};
  let showing = 0;

  const body = el('div', { class: 'result-body', id: 'result', role: 'tabpanel' });
  const aside = el('section', { class: 'plan', 'aria-label': 'Plan', hidden: true });
  const stat = el('p', { class: 'stat', 'aria-live': 'polite' });
  const notices = el('div', { class: 'notices' });
  const tabs = tabList(
    'Result',
    resultViews.map((view) => titles[view]),
    {
      controls: 'result',
      picked: (index) => change({ view: resultViews[index] }),
    },
  );
  const explain = button('Explain', () => setPlan(aside.hidden), {
    class: 'quiet',
    'aria-pressed': 'false',
  });
  const widen = button('Zoom out', () => zoomOut(), {
    icon: 'zoomOut',
    class: 'quiet',
    hidden: true,
  });
  const taking = exportButtons(failed);
  const element = el(
    'section',
    { class: 'result', 'aria-label': 'Result' },
    el(
      'div',
      { class: 'result-head' },
      tabs.element,
      stat,
      el('div', { class: 'actions' }, widen, explain, taking.elements),
    ),
    notices,
    el('div', { class: 'result-split' }, body, aside),
  );

  /** If a chart cannot display the rows, the view is the table. */
  const shownView = () => {
    const run = currentRun();
    const { view } = current();
    return view === 'chart' && run && !run.isChartable ? 'table' : view;
  };

  function markTabs() {
    const shown = shownView();
    const index = resultViews.indexOf(shown);
    if (index >= 0) tabs.mark(index);
    body.setAttribute('aria-labelledby', `result-tab-${Math.max(0, index)}`);
    widen.hidden = ranges.length === 0 || shown !== 'chart';
    taking.mark();
  }

  function setPlan(isOpen) {
    aside.hidden = !isOpen;
    explain.setAttribute('aria-pressed', String(isOpen));
    if (isOpen) showPlan();
  }

  async function showPlan() {
    const run = currentRun();
    if (!run || aside.hidden) return;
    try {
      const { plans } = await form(run, 'explain');
      if (run === currentRun()) showPlans(aside, plans);
    } catch (error) {
      if (error.name !== 'AbortError')
        aside.replaceChildren(el('p', { class: 'wrong' }, error.message));
    }
  }

  function zoomed(from_ms, to_ms) {
    ranges.push(current().range);
    change({ range: between(from_ms, to_ms) });
    again();
  }

  function zoomOut() {
    change({ range: ranges.pop() });
    again();
  }

  const views = {
    async chart(run, isWanted) {
      const [made, { drawChart }] = await Promise.all([form(run, 'chart'), import('./chart.js')]);
      if (!isWanted()) return made;
      told(made.errors);
      if (made.total === 0) {
        nothing(
          made.rows ? 'This result has no numbers to draw: see the table.' : noRows(),
        );
      } else if (made.times_ms.length === 1) {
        showFigures(body, made);
      } else {
        leave = drawChart(body, made, { zoomed, hidden });
        notices.replaceChildren(...chartNotices(made));
      }
      stat.textContent = `${counted(made.points, 'point')} · ${Math.round(made.took_ms)} ms`;
      return made;
    },
    async table(run, isWanted) {
      const made = await form(run, 'text');
      if (!isWanted()) return made;
      told(made.errors);
      if (made.tables.length === 0) nothing(run.changes ? 'Done.' : noRows());
      else await showTables(body, made, JSON.stringify([run.db, run.text]));
      countRows(made);
      return made;
    },
    async raw(run, isWanted) {
      const made = await form(run, 'text');
      if (!isWanted()) return made;
      told(made.errors);
      await showRaw(body);
      countRows(made);
      return made;
    },
  };

  function countRows({ tables, bytes, took_ms }) {
    const rows = tables.reduce((sum, table) => sum + table.rows, 0);
    const took = `${Math.round(took_ms)} ms`;
    stat.textContent = `${counted(rows, 'row')} · ${number(bytes)} bytes · ${took}`;
  }

  const told = (errors) => errors.length > 0 && failed(errors);
  const nothing = (words) => body.replaceChildren(el('p', { class: 'empty' }, words));

  /** Resolves to the displayed form, or to null. */
  async function show() {
    const { view, db, language, query } = current();
    if (!resultViews.includes(view)) return null;
    showing += 1;
    const mine = showing;
    const isCurrent = () => mine === showing;
    markTabs();
    if (view === 'tail') {
      clear();
      leave = follow(body, { text: query, language, db });
      return null;
    }
    const run = currentRun();
    if (!run) return showStart();
    body.setAttribute('aria-busy', 'true');
    try {
      // The old result remains visible until the new result is ready.
      const isWanted = () => isCurrent() && (clear(), true);
      const made = await views[shownView()](run, isWanted);
      await showPlan();
      return made;
    } catch (error) {
      if (isCurrent() && error.name === 'AbortError') stat.textContent = 'Cancelled';
      if (isCurrent() && error.name !== 'AbortError') {
        clear();
        nothing('No result.');
        failed([error.message], error.status);
      }
      return null;
    } finally {
      if (isCurrent()) body.removeAttribute('aria-busy');
    }
  }

  function clear() {
    leave();
    leave = () => {};
    notices.replaceChildren();
    stat.textContent = '';
  }

  async function showStart() {
    clear();
    // A result may arrive before the start page is complete.
    const place = el('div', { class: 'start' });
    body.replaceChildren(place);
    await start(place);
    return null;
  }

  onChange((now, before) => {
    if (now.view !== before.view) show();
    // The start page depends on the database and language.
    else if ((now.db !== before.db || now.language !== before.language) && !currentRun()) show();
    if (now.range !== before.range && !bounds(now.range, 0)) ranges.length = 0;
  });
  markTabs();
  return { element, show, showStart };
}
