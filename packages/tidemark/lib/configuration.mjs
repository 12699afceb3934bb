// Generates the configuration of workerd, in the text format of Cap'n Proto.

import { relative } from 'node:path';

/** The three classes of objects. The name of a binding is the class name in capitals. */
const objects = ['Catalog', 'Database', 'Shard'];

/**
 * The flags of V8. Every request leaves garbage that only a full collection frees, and a full
 * collection pauses all databases. With this flag, full collections are more frequent but at most a
 * third as long. workerd reports at its start that it then compiles its built-in scripts, which
 * takes no measurable time.
 */
export const v8Flags = ['--optimize-for-size'];

/** Returns a text as a string literal. */
export const quoted = (text) => JSON.stringify(text);

/** Returns the module definition of the file `path` for a configuration in `folder`. */
export function moduleOf(folder, path) {
  const name = path.split('/').at(-1);
  const kind = name.endsWith('.wasm') ? 'wasm' : 'esModule';
  // A relative path, because workerd would search an absolute path among the schemas.
  return `(name = ${quoted(name)}, ${kind} = embed ${quoted(relative(folder, path))})`;
}

/**
 * Returns the configuration of object classes as `{ namespaces, bound }`. `prefix` is the start of
 * the key that identifies the objects' files.
 */
export function objectsOf(classes, prefix) {
  const namespaces = classes.map((name) => `(className = "${name}", uniqueKey = "${prefix}-${name}", enableSql = true)`);
  const bound = classes.map((name) => `(name = "${name.toUpperCase()}", durableObjectNamespace = "${name}")`);
  return { namespaces, bound };
}

/** @param {Record<string, any>} options of [configuration] */
function socketOf({ host, port, tls, folder }) {
  const address = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const about = `name = "http", address = ${quoted(address)}, service = "front"`;
  if (!tls) return `(${about}, http = ())`;
  const [key, certificates] = [tls.key, tls.cert].map((path) => `embed ${quoted(relative(folder, path))}`);
  const keypair = `keypair = (privateKey = ${key}, certificateChain = ${certificates})`;
  return `(${about}, https = (options = (), tlsOptions = (${keypair})))`;
}

/**
 * Returns the configuration of a server, to be stored in `folder`. Options:
 *
 * - `built`: the folder of the Worker's modules.
 * - `site`: the folder of the console.
 * - `front`: the module that receives all requests first.
 * - `stored`: the folder of the objects' files.
 * - `sql`: `{ front, socket }`, or null. `front` is the module that forwards messages to the SQL
 *   process, and `socket` is the socket of that process.
 * - `backups`: the folder of backups, or null.
 * - `variables`: the names of environment variables to bind. The configuration contains no values,
 *   so it contains no secrets.
 * - `paths`: the paths that the Worker serves.
 * - `day`: the Worker's compatibility date.
 * - `host`, `port`: the listening address.
 * - `tls`: the files of the key and certificates, or null.
 *
 * @param {Record<string, any>} options
 */
export function configuration({ folder, built, sql, site, front, stored, backups, variables, paths, day, ...socket }) {
  const modulesIn = (place) => ['index.js', 'index_bg.wasm'].map((name) => moduleOf(folder, `${place}/${name}`)).join(', ');
  const { namespaces, bound } = objectsOf(objects, 'tidemark');
  const bindings = [
    ...bound,
    ...(sql ? ['(name = "SQL", service = "sql")'] : []),
    ...(backups ? ['(name = "BACKUP_FOLDER", service = "backups")'] : []),
    ...variables.map((name) => `(name = ${quoted(name)}, fromEnvironment = ${quoted(name)})`),
  ];
  return `# Written by \`tidemark serve\` at each start.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  v8Flags = [${v8Flags.map(quoted).join(', ')}],
  sockets = [${socketOf({ folder, ...socket })}],
  services = [
    (name = "front", worker = .front),
    (name = "database", worker = .database),${sql ? sqlServices(sql) : ''}
    (name = "site", disk = (path = ${quoted(site)})),
    (name = "stored", disk = (path = ${quoted(stored)}, writable = true)),${backups ? `\n    (name = "backups", disk = (path = ${quoted(backups)}, writable = true)),` : ''}
  ],
);

const front :Workerd.Worker = (
  compatibilityDate = "${day}",
  modules = [${moduleOf(folder, front)}],
  bindings = [
    (name = "DATABASE", service = "database"),
    (name = "SITE", service = "site"),
    (name = "PATHS", json = ${quoted(JSON.stringify(paths))}),
  ],
);

const database :Workerd.Worker = (
  compatibilityDate = "${day}",
  modules = [${modulesIn(built)}],
  bindings = [
    ${bindings.join(',\n    ')},
  ],
  durableObjectNamespaces = [${namespaces.join(', ')}],
  durableObjectStorage = (localDisk = "stored"),
);
${sql ? sqlWorker(day, moduleOf(folder, sql.front)) : ''}`;
}

const sqlServices = ({ socket }) => `
    (name = "sql", worker = .sql),
    (name = "sql-process", external = (address = ${quoted(`unix:${socket}`)}, http = ())),`;

/** Returns the Worker that replaces the SQL Worker of a deployment. */
const sqlWorker = (day, module) => `
const sql :Workerd.Worker = (
  compatibilityDate = "${day}",
  modules = [${module}],
  bindings = [
    (name = "PROCESS", service = "sql-process"),
    (name = "PROCESS_URL", text = "http://sql/"),
  ],
);
`;
