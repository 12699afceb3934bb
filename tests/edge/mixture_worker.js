// A Worker that runs two releases at the same time, as in a gradual deployment. One release
// receives each request, and each object runs one release. `mixture.mjs` writes the modules of both
// releases next to this file.

import { DurableObject, WorkerEntrypoint } from 'cloudflare:workers';

import * as newer from './newer/index.js';
import * as older from './older/index.js';

const releases = { older, newer };

const namespaces = ['CATALOG', 'DATABASE', 'SHARD'];

/** Both modules write this protocol version into a byte of each message. */
const written = 1;

/**
 * `share` is the percentage of objects that run the newer release. `protocols` contains, for each
 * release, the protocol versions that it pretends to write and to read. With null, a release uses
 * its module's real versions.
 */
const state = { share: 0, protocols: { older: null, newer: null } };

/**
 * Changes the version byte of a message before a release receives it. If the release pretends to
 * read this version, the byte becomes the version that the module really reads.
 */
function received(message, protocols) {
  const [version] = message;
  if (!protocols) return message;
  // If the release does not read the version, the byte becomes a version that the module cannot
  // read. The module then returns its usual error, which contains this version.
  message[0] = protocols.reads.includes(version) ? written : version + 100;
  return message;
}

function sent(message, protocols, version = protocols?.writes) {
  if (protocols) message[0] = version;
  return message;
}

/**
 * Wraps a stub, so that messages through it have the protocol version that the release pretends to
 * write.
 */
const stubOf = (stub, protocols) =>
  new Proxy(stub, {
    get(target, key) {
      if (key !== 'answer') return target[key];
      return async (message) => received(await target.answer(sent(message.slice(), protocols)), protocols);
    },
  });

function environmentOf(release, env) {
  const protocols = state.protocols[release];
  if (!protocols) return env;
  const wrapped = (namespace) =>
    new Proxy(namespace, {
      get(target, key) {
        const value = target[key];
        if (key === 'get' || key === 'getByName') return (...words) => stubOf(value.apply(target, words), protocols);
        return typeof value === 'function' && key !== 'constructor' ? value.bind(target) : value;
      },
    });
  return { ...env, ...Object.fromEntries(namespaces.map((name) => [name, wrapped(env[name])])) };
}

const releaseOf = (id) => (parseInt(id.toString().slice(-6), 16) % 100 < state.share ? 'newer' : 'older');

/** As on the platform, an object is reset when its release changes. */
const mixed = (name) =>
  class extends DurableObject {
    #release;
    #protocols;
    #object;

    #current() {
      const release = releaseOf(this.ctx.id);
      const protocols = state.protocols[release];
      if (this.#object && (this.#release !== release || this.#protocols !== protocols)) {
        this.ctx.abort('the object was reset because its code was updated');
        throw new Error('reset');
      }
      if (!this.#object) {
        [this.#release, this.#protocols] = [release, protocols];
        this.#object = new releases[release][name](this.ctx, environmentOf(release, this.env));
      }
      return this.#object;
    }

    async answer(message) {
      const object = this.#current();
      const protocols = this.#protocols;
      if (!protocols) return object.answer(message);
      const [version] = message;
      const isRead = protocols.reads.includes(version);
      // A reply has the same protocol version as its request.
      return sent(await object.answer(received(message, protocols)), protocols, isRead ? version : protocols.writes);
    }

    alarm() {
      return this.#current().alarm();
    }
  };

export const Catalog = mixed('Catalog');
export const Database = mixed('Database');
export const Shard = mixed('Shard');

export default class extends WorkerEntrypoint {
  /** `POST /mixture` changes the mixture. The header `x-release` selects the release. */
  async fetch(request) {
    if (new URL(request.url).pathname === '/mixture') {
      Object.assign(state, await request.json());
      return Response.json(state);
    }
    const release = request.headers.get('x-release') ?? 'older';
    const context = { env: environmentOf(release, this.env), ctx: this.ctx };
    return releases[release].default.prototype.fetch.call(context, request);
  }
}
