// The SQL module for the page, built by `npm run sql`. scripts/console.mjs inserts its name and
// size here.

/* global SQL_ASSET */

/**
 * `{ name, bytes }` of the compressed module among the chunks, or null if the page was built
 * without SQL.
 */
export const sqlAsset = SQL_ASSET;
