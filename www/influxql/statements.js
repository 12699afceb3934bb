// A text as its statements, and what may be done with them.

import { readText } from './tokenize.js';

/** The statements of `text`, each `{ does, tokens, from, to }`; none while nobody can read it. */
export const statements = (text) => readText(text)?.statements ?? [];

/** What `text` does: `selects`, `reads` or `writes`; null if that is not known. */
export const effectOf = (text) => readText(text)?.does ?? null;

/**
 * Whether `text` names a password: it is then kept out of address and history. Every text with the
 * word may that cannot be read, or not yet.
 */
export function namesPassword(text) {
  if (!/password/i.test(text)) return false;
  const isKeyword = ({ kind, upper }) => kind === 'word' && upper === 'PASSWORD';
  return effectOf(text) === null || readText(text).words.some(isKeyword);
}

/** A name as InfluxQL writes it: quoted unless it is a plain word that is no keyword. */
export function quoted(name) {
  const plain = /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !keywords.has(name.toUpperCase());
  return plain
    ? name
    : `"${name.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n')}"`;
}

/** The statement that makes a database which keeps its points for ever. */
export const createDatabase = (name) => `CREATE DATABASE ${quoted(name)}`;

/** A string as InfluxQL writes it. */
export const quotedText = (text) =>
  `'${text.replace(/\\/g, '\\\\').replace(/'/g, "\\'").replace(/\n/g, '\\n')}'`;

/** Every keyword of the language. */
export const keywords = new Set(
  `ALL ALTER ANALYZE ANY AS ASC BEGIN BY CARDINALITY CREATE CONTINUOUS DATABASE DATABASES DEFAULT
   DELETE DESC DESTINATIONS DIAGNOSTICS DISTINCT DROP DURATION END EVERY EXACT EXPLAIN FIELD FOR FROM
   GRANT GRANTS GROUP GROUPS IN INF INSERT INTO KEY KEYS KILL LIMIT MEASUREMENT MEASUREMENTS NAME
   OFFSET ON ORDER PASSWORD POLICIES POLICY PRIVILEGES QUERIES QUERY READ REPLICATION RESAMPLE
   RETENTION REVOKE SELECT SERIES SET SHARD SHARDS SHOW SLIMIT SOFFSET STATS SUBSCRIPTION
   SUBSCRIPTIONS TAG TO USER USERS VALUES WHERE WITH WRITE AND OR TRUE FALSE TIME FILL TZ`
    .trim()
    .split(/\s+/),
);
keywords.delete('TIME');
keywords.delete('FILL');
keywords.delete('TZ');
