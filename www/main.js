// The console. Creates the parts of the page and connects them.

import { followAddress } from './address.js';
import { databases } from './api/schema.js';
import { onToken, setToken } from './api/token.js';
import { currentPlace, settlePlace } from './api/transport.js';
import { connectPanel } from './connect/panel.js';
import { button } from './dom.js';
import { explorer } from './explorer/panel.js';
import { preload } from './preload.js';
import { startLexer } from './influxql/tokenize.js';
import { queryPanel } from './query/panel.js';
import { sessionCorner } from './session.js';
import { welcome } from './start/welcome.js';
import { change, current, onChange, resultViews } from './state.js';
import { writePanel } from './write/panel.js';

const byId = (id) => document.getElementById(id);

followAddress(() => query.runLinked({ isLink: true }));

/** Runs the query again, unless `keep` is set. */
async function reload({ keep = false, isLink = false } = {}) {
  corner();
  await names.fill();
  if (!keep) await query.runLinked({ isLink });
}

const query = queryPanel({
  changed: () => names.fill(),
  refused() {
    setToken('');
    names.fill();
    query.results.showStart();
  },
  start: (host, { ask }) =>
    welcome(host, { names: () => databases().catch(() => []), ask, reload }),
});
const names = explorer(byId('explorer'), {
  put(item) {
    if (!resultViews.includes(current().view)) change({ view: 'chart' });
    query.editor.put(item);
  },
  names: () => query.fillDatabases(),
});
const panels = {
  query: query.element,
  write: writePanel({ changed: () => names.fill() }),
  connect: connectPanel(),
};
const corner = sessionCorner(byId('session'), reload);
onToken(corner);

const places = [
  ['query', 'Query'],
  ['write', 'Write'],
  ['connect', 'Connect'],
];
const placeOf = (view) => (resultViews.includes(view) ? 'query' : view);
let lastResult = resultViews.includes(current().view) ? current().view : 'chart';
const links = places.map(([place, label]) =>
  button(label, () => change({ view: place === 'query' ? lastResult : place })),
);

function showPlace() {
  const { view } = current();
  if (resultViews.includes(view)) lastResult = view;
  const chosen = placeOf(view);
  byId('main').parentElement.dataset.place = chosen;
  names.close();
  places.forEach(([place], index) => {
    panels[place].hidden = place !== chosen;
    if (place === chosen) links[index].setAttribute('aria-current', 'page');
    else links[index].removeAttribute('aria-current');
  });
}

byId('views').replaceChildren(...links);
byId('main').replaceChildren(...Object.values(panels));
onChange((now, before) => now.view !== before.view && showPlace());
showPlace();
startLexer().catch(() => {});
settlePlace()
  .then(() => reload({ isLink: true }))
  .then(() => currentPlace() === 'browser' && preload());
