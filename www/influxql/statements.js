// Splits a text into statements and classifies them.

import { readText } from './tokenize.js';

/** Returns the statements of a text, or an empty list if the parser is not loaded. */
export const statements = (text) => readText(text)?.statements ?? [];

/** Returns `selects`, `reads` or `writes`, or null if the effect is unknown. */
export const effectOf = (text) => readText(text)?.does ?? null;

/**
 * Returns whether a text may contain a password, so that the page does not store it. If the parser
 * is not loaded, this is true for every text with the word "password".
 */
export function containsPassword(text) {
  if (!/password/i.test(text)) return false;
  const isKeyword = ({ kind, upper }) => kind === 'word' && upper === 'PASSWORD';
  return effectOf(text) === null || readText(text).words.some(isKeyword);
}

/** Quotes a name if it is not a plain word or if it is a keyword. */
export function quoted(name) {
  const plain = /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !keywords.has(name.toUpperCase());
  return plain
    ? name
    : `"${name.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n')}"`;
}

export const createDatabase = (name) => `CREATE DATABASE ${quoted(name)}`;

export const quotedText = (text) =>
  `'${text.replace(/\\/g, '\\\\').replace(/'/g, "\\'").replace(/\n/g, '\\n')}'`;

export const keywords = new Set(
  `ALL ALTER ANALYZE ANY AS ASC BEGIN BY CARDINALITY CREATE CONTINUOUS DATABASE DATABASES DEFAULT
   DELETE DESC DESTINATIONS DIAGNOSTICS DISTINCT DROP DURATION END EVERY EXACT EXPLAIN FIELD FOR FROM
   GRANT GRANTS GROUP GROUPS IN INF INSERT INTO KEY KEYS KILL LIMIT MEASUREMENT MEASUREMENTS NAME
   OFFSET ON ORDER PASSWORD POLICIES POLICY PRIVILEGES QUERIES QUERY READ REPLICATION RESAMPLE
   RETENTION REVOKE SELECT SERIES SET SHARD SHARDS SHOW SLIMIT SOFFSET STATS SUBSCRIPTION
   SUBSCRIPTIONS TAG TO USER USERS VALUES WHERE WITH WRITE AND OR TRUE FALSE`
    .trim()
    .split(/\s+/),
);
