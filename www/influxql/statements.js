// A text as its statements, and what may be done with them.

import { meaningful, tokenize } from './tokenize.js';

/** The statements of `text`: each `{ tokens, from, to }`, without those that are empty. */
export function statements(text) {
  const found = [];
  let tokens = [];
  const end = () => {
    if (tokens.length > 0) found.push({ tokens, from: tokens[0].from, to: tokens.at(-1).to });
    tokens = [];
  };
  for (const token of meaningful(tokenize(text))) {
    if (token.text === ';') end();
    else tokens.push(token);
  }
  end();
  return found;
}

const isSelect = ({ tokens }) =>
  tokens[0].upper === 'SELECT' &&
  !tokens.some(({ kind, upper }) => kind === 'word' && upper === 'INTO');

const readingWords = ['SELECT', 'SHOW', 'EXPLAIN'];

/** Whether `text` only selects: it may be asked again in another form. */
export const onlySelects = (text) => {
  const all = statements(text);
  return all.length > 0 && all.every(isSelect);
};

/** Whether `text` changes nothing, so that a link may run it. */
export const onlyReads = (text) =>
  statements(text).every(
    ({ tokens }) =>
      readingWords.includes(tokens[0].upper) &&
      !tokens.some(({ kind, upper }) => kind === 'word' && upper === 'INTO'),
  );

/** Whether `text` names a password: it is then kept out of address and history. */
export const namesPassword = (text) =>
  tokenize(text).some(({ kind, upper }) => kind === 'word' && upper === 'PASSWORD');

/** A name as InfluxQL writes it: quoted unless it is a plain word that is no keyword. */
export function quoted(name) {
  const plain = /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !keywords.has(name.toUpperCase());
  return plain
    ? name
    : `"${name.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n')}"`;
}

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
