// SQL's module for the page, which `npm run sql` builds: scripts/console.mjs puts its name and its size here.

/* global SQL_ASSET */

/** `{ name, bytes }` of the packed module among the chunks; null in a page that was built without. */
export const sqlAsset = SQL_ASSET;
