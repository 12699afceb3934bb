// Exports a result as a file, or its query as a command.

import { button, copyFrom, saveAs } from '../dom.js';
import { curlOf } from '../connect/snippets.js';
import { languages } from '../query/languages.js';
import { currentRun, form, parquetOf } from '../query/session.js';
import { current } from '../state.js';
import { work } from './client.js';
import { shownTable } from './table.js';

/** Returns the export buttons. `mark` displays the buttons for the current run. */
export function exportButtons(failed) {
  const csv = button('CSV', () => saveCsv(failed), {
    icon: 'download',
    class: 'quiet',
    title: 'Download the table as CSV',
  });
  const parquet = button('Parquet', () => saveParquet(failed), {
    icon: 'download',
    class: 'quiet',
    title: 'Repeat the query and download the result as Parquet',
  });
  const curl = button('curl', () => copyFrom(curl, curlOfRun()), {
    icon: 'copy',
    class: 'quiet',
    title: 'Copy the query as a curl command',
  });
  const mark = () => (parquet.hidden = currentRun()?.language !== 'sql');
  mark();
  return { elements: [csv, parquet, curl], mark };
}

function curlOfRun() {
  const { db, language, query } = current();
  const asked = currentRun() ?? { db, language, sent: query };
  return curlOf(location.origin, asked.db, asked.sent, undefined, languages[asked.language].path);
}

async function saveCsv(failed) {
  const run = currentRun();
  if (!run) return;
  try {
    const loaded = await form(run, 'text');
    const { table, sort } = shownTable.loaded === loaded ? shownTable : { table: 0, sort: null };
    if (loaded.tables.length) saveAs(await work('csv', { table, sort }), 'result.csv');
  } catch (error) {
    if (error.name !== 'AbortError') failed([error.message], error.status);
  }
}

async function saveParquet(failed) {
  try {
    saveAs(new Blob([await parquetOf(currentRun())]), 'result.parquet');
  } catch (error) {
    if (error.name !== 'AbortError') failed([error.message], error.status);
  }
}
