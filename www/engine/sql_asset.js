// The file of the SQL module for the page. `npm run sql` builds the module, and scripts/console.mjs
// inserts its name and size here.

/* global SQL_ASSET */

/** The file is in the folder of the chunks. The value is null if the page was built without SQL. */
export const sqlAsset = SQL_ASSET;
