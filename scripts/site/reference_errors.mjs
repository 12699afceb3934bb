// Generates the page of errors from the error types in the code.

import { code, generatedBy } from './reference_markdown.mjs';
import { limitValues } from './reference_limits.mjs';
import { moduleText, variantsOf } from './rust_source.mjs';

const introduction = `# Errors

This page is for users who search for an error text, and for authors of clients. Each section has a stable anchor.

## What a client should do

| status | meaning | action |
|---|---|---|
| 204, 200 | the request succeeded. A query can contain an \`error\` for one of its statements | read \`results\` |
| 400 | a line, a parameter or a statement is invalid. A write stores its valid lines | correct the lines in the error; do not send the request again unchanged |
| 401 | the request has no credentials, or its credentials are unknown, expired or revoked | check the token |
| 403 | the token or user has no permission for the request, or a page from another origin sent the request | grant the permission, or set \`CORS_ORIGINS\` |
| 404 | the path, the database, the retention policy or the resource does not exist | check the name |
| 405 | the path does not support the method | use an HTTP method that the header \`Allow\` lists |
| 408 | the client stopped sending the body | send the request again |
| 409 | another operation must end first, or the request conflicts with the stored state | wait until the other operation ends, or follow the instruction in the text of the error |
| 413 | the body is too large | send smaller batches |
| 415 | the route does not support the encoding or the media type | use a supported type |
| 422 | the request exceeds a limit, and a retry does not help | follow the instruction in the text of the error |
| 429 | the client has reached a limit per minute | wait for the seconds in \`Retry-After\` |
| 500 | the server has an internal fault, or stored data is damaged | [check the stored data](../OPERATING.md#checking-stored-data), and report the fault |
| 501 | InfluxDB supports the request, but Tidemark does not | use the alternative in the text of the error |
| 503 | the server cannot process the request now. After a write, the points may be stored, unless the error says otherwise | send the request again after \`Retry-After\` |
| 504 | the client's deadline has passed | allow more time, or narrow the query |
| 507 | the query needs more memory or time than the server provides | narrow the time range, or aggregate the values |

A write returns its errors as JSON with \`code\`, \`message\`, \`error\` and \`line\` ([bodies](../COMPATIBILITY.md#responses-to-writes)). If the
text of a query does not parse, \`/query\` returns 400. If a single statement fails, the status is 200, and the result of the statement contains the
text as \`error\`, even if the section below states 400, 404, 422 or 500. Only errors of statements with the status 401, 403, 429 or 503 set the status
of the response, and only before its first byte. In the texts below, words in braces and \`…\` stand for values.
`;

/** The groups of errors: title, prefix of the anchors, module, error type, and HTTP status. */
const groups = [
  ['Requests', 'request', 'crates/server/src/error.rs', 'ApiError'],
  ['Permissions and logins', 'auth', 'crates/server/src/auth.rs', 'AuthError'],
  ['Settings', 'setting', 'crates/server/src/settings.rs', 'SettingsError', '503'],
  ['Parameters', 'parameter', 'crates/server/src/params.rs', 'ParamsError', '400'],
  ['Bodies', 'body', 'crates/server/src/content_encoding/mod.rs', 'BodyError'],
  ['Lines of a write', 'line', 'crates/line-protocol/src/error.rs', 'Cause', '400; the line is rejected, and the other lines are stored'],
  ['Lines that do not fit the database', 'write', 'crates/coordinator/src/write/rejections.rs', 'LineRefusal', '400; the line is rejected'],
  ['Columns and measurements', 'schema', 'crates/engine/src/protocol/database.rs', 'RegisterRefusal', '400; the line is rejected'],
  ['Syntax of InfluxQL', 'syntax', 'crates/influxql/src/error.rs', 'ParseError', '400'],
  ['Statements', 'statement', 'crates/query/src/error.rs', 'QueryError', "200 with the statement's `error` on `/query`; 400 on `/api/v3/query_influxql`"],
  ['Databases, tokens and users', 'catalog', 'crates/engine/src/protocol/catalog.rs', 'CatalogRefusal'],
  ['Retention policies and continuous queries', 'policy', 'crates/engine/src/protocol/database.rs', 'PolicyRefusal', '400'],
  ['Restores', 'restore', 'crates/engine/src/protocol/database.rs', 'DatabaseRefusal'],
  ['Backups', 'backup', 'crates/coordinator/src/backup/store.rs', 'BackupError'],
  ['Point-in-time recovery', 'recovery', 'crates/engine/src/protocol/recovery.rs', 'RecoveryRefusal'],
  ['Overload and storage', 'unavailable', 'crates/engine/src/protocol/event.rs', 'Unavailable', '503'],
  ['Other errors of the server', 'server', 'crates/coordinator/src/error.rs', 'Error'],
];

/** The actions for a client or an operator, by HTTP status. */
const actions = {
  400: 'Correct the request as the text of the error describes. Do not repeat the request unchanged.',
  401: 'Check the credentials.',
  403: 'Use a token that has the permission, or add the permission to the token.',
  404: 'Check the name in the request.',
  405: 'Use one of the HTTP methods that the header `Allow` lists.',
  408: 'Send the request again.',
  409: 'If another operation is running, wait until it ends. Otherwise follow the instruction in the text of the error.',
  413: 'Send smaller batches.',
  415: 'Use a supported type.',
  422: 'Follow the instruction in the text of the error. A retry does not help.',
  429: 'Wait for the seconds in `Retry-After`.',
  500: '[Check the stored data](../OPERATING.md#checking-stored-data), and report the fault.',
  501: 'Use the alternative in the text of the error.',
  503: 'Send the request again after the seconds in `Retry-After`.',
  504: 'Allow more time, or narrow the query.',
  507: 'Narrow the time range, or aggregate the values.',
};

/** The actions for single errors, which replace the action for the status. */
const ownActions = {
  'ApiError::ForeignOrigin': "If the page may call the server, add its origin to `CORS_ORIGINS`.",
  'ApiError::ReadOnly': 'Send the statement with `POST`, and without `read_only=true`.',
  'ApiError::DatabaseNotFound': 'Create the database, or check its name.',
  'AuthError::NotConfigured': 'Set the secret `ADMIN_TOKEN`.',
  'AuthError::InUrl': 'Send the credentials in the header `Authorization`.',
  'Unavailable::Full': '[Delete data or shorten the retention](../OPERATING.md#a-full-shard).',
  'Unavailable::Behind': 'Repeat the write after a second. If the error persists, see [capacity](../guides/capacity.md).',
  'RegisterRefusal::TypeConflict': "Write the field with its existing type, or use another field's name.",
  'LineRefusal::Retention': 'Check the precision of the times, or [change the retention policy](../guides/retention.md).',
  'LineRefusal::Window': 'Check the precision of the times, or [change the limits](../guides/retention.md) of the retention policy.',
  'LineRefusal::Stored': '[Delete data](../guides/retention.md#delete-points), or [raise the quota](../OPERATING.md#quotas).',
  'LineRefusal::Series': 'Drop series, or [raise the quota](../OPERATING.md#quotas).',
  'Error::NotEverywhere': 'Repeat the statement until it returns no warning. Do not repeat `DROP USER`, because it then returns `user not found`.',
  'Error::PartlyApplied': 'Repeat the statement.',
  'QueryError::Page': 'Report the fault. Run `SHOW DIAGNOSTICS` to check whether all objects run the same release.',
  'Error::RateExceeded': 'Wait for the seconds in `Retry-After`, or [raise the quota](../OPERATING.md#quotas).',
  'Error::Interrupted': 'No action: a user or an operator ended the query.',
};

/** The action for each group of errors about the caller's input. */
const groupActions = {
  setting: 'Correct the [setting](../SETTINGS.md).',
  line: 'Correct the line, and send it again.',
  syntax: 'Correct the statement at the position that the error names.',
  statement: 'Correct or narrow the statement as the text of the error describes.',
};

/** The statuses of single errors, which replace the status of the group. */
const exceptions = {
  'LineRefusal::Retention': '400; 422 if every line is older than the retention period, except on `/write`',
  'LineRefusal::Window': '400; 422 if the policy accepts the time of no line, except on `/write`',
  'Error::Forbidden': '403',
  'Error::Revoked': '401',
  'Error::NotEverywhere': '200, as a warning in `messages`',
};

/**
 * Returns the statuses by pattern. The source is a `match` that maps patterns to a number and a
 * class.
 */
function statuses(source) {
  const body = source.slice(source.indexOf('pub fn status(&self)'), source.indexOf('pub fn grpc_code'));
  const found = new Map();
  let pending = [];
  for (const [, type, variant, status] of body.matchAll(/\b(Self|AuthError|BodyError)::(\w+)|\((\d{3}), /g)) {
    if (status) {
      for (const one of pending) found.set(one, found.has(one) ? `${found.get(one)} or ${status}` : status);
      pending = [];
    } else pending.push(`${type === 'Self' ? 'ApiError' : type}::${variant}`);
  }
  // Removes the outer variants: an error such as `Self::Auth(AuthError::InUrl)` has the status of
  // its inner variant.
  for (const outer of ['ApiError::Auth', 'ApiError::Body', 'ApiError::Overloaded']) found.delete(outer);
  return found;
}

/** Adds the statuses of the errors that `From<Error> for ApiError` converts. */
function addConverted(source, found) {
  const types = groups.map(([, , , type]) => type).filter((type) => type !== 'ApiError' && type !== 'AuthError');
  const start = source.indexOf('impl From<Error> for ApiError');
  let pending = [];
  let isArm = false;
  const tokens = new RegExp(`=>\\s*(match)?|\\bSelf::([A-Z]\\w+)|\\b(${types.join('|')})::(\\w+)`, 'g');
  for (const [token, isMatch, kind, type, variant] of source.slice(start).matchAll(tokens)) {
    if (token.startsWith('=>')) {
      isArm = !isMatch;
      if (isMatch) pending = [];
    } else if (kind && isArm) {
      const status = found.get(`ApiError::${kind}`);
      for (const one of pending) if (status && !found.has(one)) found.set(one, status);
      pending = [];
      isArm = false;
    } else if (type) pending.push(`${type}::${variant}`);
  }
}

const kebab = (name) => name.replace(/([a-z0-9])([A-Z])/g, '$1-$2').toLowerCase();

/** Replaces constants with their values, and unnamed arguments with an ellipsis. */
function readable(message, limits) {
  return message
    .replace(/\{\{/g, '{').replace(/\}\}/g, '}')
    .replace(/\{([A-Z][A-Z_]+)\}/g, (whole, name) => (limits.has(name) ? String(limits.get(name)) : whole))
    .replace(/\{(?:[0-9.:][^}]*)?\}/g, '…')
    .replace(/\{(\w+):[^}]*\}/g, '{$1}');
}

/** Returns a sentence for a description that contains only example lines. */
function sentence(text, prefix) {
  return prefix === 'line' && /^(?:`[^`]+`(?:, | or |$))+$/.test(text) ? `An example is ${text}.` : text;
}

export function errorsPage() {
  const limits = new Map(limitValues().map(({ name, value }) => [name, value]));
  const requests = moduleText('crates/server/src/error.rs');
  const status = statuses(requests);
  addConverted(requests, status);
  const seen = new Set();
  const sections = groups.map(([title, prefix, path, type, usual]) => {
    const entries = variantsOf(moduleText(path), type)
      // Skips errors that display the text of another error.
      .filter(({ message }) => message && !/^\{\w*\}$/.test(message))
      .map(({ name, message, text }) => {
        seen.add(`${type}::${name}`);
        const known = exceptions[`${type}::${name}`] ?? status.get(`${type}::${name}`) ?? usual;
        const line = /^Status \d{3}/.test(text)
          ? text.replace(/^(Status \d{3}): (.)/, (whole, first, letter) => `${first}. ${letter.toUpperCase()}`)
          : [known && `Status ${known}.`, sentence(text, prefix)].filter(Boolean).join(' ');
        const number = /\b[45]\d{2}\b/.exec(line)?.[0];
        const action = ownActions[`${type}::${name}`] ?? groupActions[prefix] ?? actions[number];
        if (!action) throw new Error(`no action for ${type}::${name}`);
        return `### ${prefix}-${kebab(name)}\n\n> ${code(readable(message, limits))}\n\n${line}\n\nAction: ${action}\n`;
      });
    return [`## ${title}\n`, ...entries].join('\n');
  });
  const unknown = [...Object.keys(exceptions), ...Object.keys(ownActions)].filter((key) => !seen.has(key));
  if (unknown.length > 0) throw new Error(`reference_errors.mjs: no error has the name ${unknown.join(', ')}`);
  return [generatedBy('the error types in the code'), introduction, ...sections].join('\n');
}
