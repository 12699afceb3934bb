// Loads all lazy parts in advance, so that a page without a server keeps working offline.

import { started } from './results/client.js';
import { bytesOfSample } from './start/sample.js';

/** Imports every lazy part. A part that fails to load is requested again when it is needed. */
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
