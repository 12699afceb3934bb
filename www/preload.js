// Loads all parts of the page that are normally loaded on demand, so that a page without a server
// keeps working offline.

import { started } from './results/client.js';
import { bytesOfSample } from './start/sample.js';

/** Loads all parts. If a part fails to load, the page requests it again when it is needed. */
export function preload() {
  started();
  return Promise.allSettled([
    import('./editor/influxql.js'),
    import('./editor/sql.js'),
    import('./editor/lines.js'),
    import('./results/chart.js'),
    bytesOfSample(),
  ]);
}
