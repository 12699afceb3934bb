// Offers to load SQL into the page's database. SQL is several megabytes large, so the page loads it
// only on request.

import { sqlUnavailableReason } from '../api/sql.js';
import { loadSql, onEngineState, onPlace, sqlState } from '../api/transport.js';
import { button, el, errorAlert, say } from '../dom.js';
import { sqlAsset } from '../engine/sql_asset.js';
import { current, onChange } from '../state.js';

const inMb = (bytes) => (bytes / 1e6).toFixed(1);

const asking = (bytes) =>
  `To use SQL, load a file of ${inMb(bytes)} MB. The browser caches the file for later visits.`;

/** If the host decompresses the file, the number of bytes may exceed the size of the file. */
const coming = (bytes, all) =>
  bytes < all ? `Loading SQL: ${inMb(bytes)} of ${inMb(all)} MB` : 'Starting SQL …';

/**
 * Returns the panel that offers to load SQL. It is visible while the language is SQL and the page's
 * database has no SQL. Calls `loaded()` after SQL was loaded.
 */
export function sqlOffer(loaded) {
  const all = sqlAsset?.bytes ?? 0;
  const words = el('p');
  const bar = el('progress', { max: all || 1, 'aria-label': 'Download of SQL' });
  const wrong = errorAlert();
  const start = async () => {
    await loadSql();
    say('SQL is loaded');
    loaded();
  };
  const load = button(`Load SQL (${inMb(all)} MB)`, () => wrong.attempt(start));
  const element = el('div', { class: 'notice offer row' }, words, load, bar, wrong.element);
  function show() {
    const why = current().language === 'sql' ? sqlUnavailableReason() : null;
    element.hidden = why === null;
    const { bytes } = sqlState();
    bar.hidden = bytes === null;
    bar.value = bytes ?? 0;
    load.hidden = !sqlAsset || bytes !== null;
    const offered = sqlAsset ? asking(all) : why;
    words.textContent = bytes === null ? offered : coming(bytes, all);
  }
  onChange(show);
  onPlace(show);
  onEngineState(show);
  show();
  return element;
}
