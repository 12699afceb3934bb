// Without a server the page goes on when the network ends: what is loaded late otherwise comes
// ahead.

import { started } from './results/client.js';
import { bytesOfSample } from './start/sample.js';

/** Loads every part that is not there yet; what cannot be loaded is asked for again when needed. */
export function loadAhead() {
  started();
  return Promise.allSettled([
    import('./editor/influxql.js'),
    import('./editor/sql.js'),
    import('./editor/lines.js'),
    import('./results/chart.js'),
    bytesOfSample(),
  ]);
}
