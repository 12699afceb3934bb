// What workerd is told: its configuration language is Cap'n Proto's.

import { relative } from 'node:path';

/** The three kinds of object; the binding's name is the class's in capitals. */
const objects = ['Catalog', 'Database', 'Shard'];

/**
 * What V8 is told. Every request leaves objects behind that only a collection of everything frees, which stops all
 * databases meanwhile: it comes more often and is over sooner, a third of the time at most. The runtime says at its
 * start that it compiles its own scripts then, which takes no measurable time.
 */
export const v8Flags = ['--optimize-for-size'];

/** A text as the language writes it. */
export const quoted = (text) => JSON.stringify(text);

/** The file `path` as a module of a Worker whose configuration is in `folder`. */
export function moduleOf(folder, path) {
  const name = path.split('/').at(-1);
  const kind = name.endsWith('.wasm') ? 'wasm' : 'esModule';
  // By the way from the configuration: an absolute path would be looked for among the schemas.
  return `(name = ${quoted(name)}, ${kind} = embed ${quoted(relative(folder, path))})`;
}

/**
 * What a Worker's configuration says of its classes of objects: `{ namespaces, bound }`. `prefix` begins the key
 * that their files are found by.
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
 * The configuration of one server, to be written into `folder`.
 *
 * `built` is the folder of the Worker's modules, `site` that of the console, `front` the module that
 * stands before both, `stored` where the objects' files are,
 * `sql` the module that passes messages to the SQL process and the socket of that process, `{ front, socket }`, or null,
 * `backups` the folder of backups or null. `variables` are names of variables of the
 * environment, which are bound by their names, so that no secret is written down. `paths` are the
 * paths that the Worker answers. `day` is its compatibility date. `host` and `port` are where it listens,
 * `tls` the files of its key and certificates, or null.
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

/** Takes the place of the SQL Worker of a deployment. */
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
