// One Worker that runs two releases at once, as a gradual deployment does: each request enters one of them, and
// each object runs one of them. `mixture.mjs` puts their modules beside this file.

import { DurableObject, WorkerEntrypoint } from 'cloudflare:workers';

import * as newer from './newer/index.js';
import * as older from './older/index.js';

const releases = { older, newer };

/** The namespaces of objects among the bindings. */
const namespaces = ['CATALOG', 'DATABASE', 'SHARD'];

/** The protocol that both modules write, which a byte of each message says. */
const written = 1;

/**
 * How many of a hundred objects run the newer release, and which protocol each release speaks: what it writes, and
 * the versions that it reads; null is what its module itself speaks.
 */
const state = { share: 0, speech: { older: null, newer: null } };

/** A message as the module of a release meets it, whose peer wrote `version`. */
function met(message, speech) {
  const [version] = message;
  if (!speech) return message;
  // Out of reach of the module too, which says so by name.
  message[0] = speech.reads.includes(version) ? written : version + 100;
  return message;
}

/** A message of the module of a release as that release writes it. */
function said(message, speech, version = speech?.writes) {
  if (speech) message[0] = version;
  return message;
}

const bytesOf = async (body) => new Uint8Array(await new Response(body).arrayBuffer());

/** A stub whose messages are of a release that speaks so. */
const stubOf = (stub, speech) =>
  new Proxy(stub, {
    get(target, key) {
      if (key !== 'fetch') return target[key];
      return async (url, init) => {
        const body = said((await bytesOf(init.body)).slice(), speech);
        const response = await target.fetch(url, { method: 'POST', body });
        if (response.status !== 200) return response;
        return new Response(met(await bytesOf(response.body), speech));
      };
    },
  });

/** What the module of a release is bound to. */
function environmentOf(release, env) {
  const speech = state.speech[release];
  if (!speech) return env;
  const wrapped = (namespace) =>
    new Proxy(namespace, {
      get(target, key) {
        const value = target[key];
        if (key === 'get' || key === 'getByName') return (...words) => stubOf(value.apply(target, words), speech);
        return typeof value === 'function' && key !== 'constructor' ? value.bind(target) : value;
      },
    });
  return { ...env, ...Object.fromEntries(namespaces.map((name) => [name, wrapped(env[name])])) };
}

/** The release that an object is to run now. */
const releaseOf = (id) => (parseInt(id.toString().slice(-6), 16) % 100 < state.share ? 'newer' : 'older');

/** A class of objects, each of which is reset when its release changes, as the platform does it. */
const mixed = (name) =>
  class extends DurableObject {
    #release;
    #speech;
    #object;

    #current() {
      const release = releaseOf(this.ctx.id);
      const speech = state.speech[release];
      if (this.#object && (this.#release !== release || this.#speech !== speech)) {
        this.ctx.abort('the object was reset because its code was updated');
        throw new Error('reset');
      }
      if (!this.#object) {
        [this.#release, this.#speech] = [release, speech];
        this.#object = new releases[release][name](this.ctx, environmentOf(release, this.env));
      }
      return this.#object;
    }

    async fetch(request) {
      const object = this.#current();
      const speech = this.#speech;
      if (!speech) return object.fetch(request);
      const message = await bytesOf(request.body);
      const [version] = message;
      const isRead = speech.reads.includes(version);
      const asked = new Request(request.url, { method: 'POST', body: met(message, speech) });
      const response = await object.fetch(asked);
      if (response.status !== 200) return response;
      // A reply comes in the version of its request.
      return new Response(said(await bytesOf(response.body), speech, isRead ? version : speech.writes));
    }

    alarm() {
      return this.#current().alarm();
    }
  };

export const Catalog = mixed('Catalog');
export const Database = mixed('Database');
export const Shard = mixed('Shard');

export default class extends WorkerEntrypoint {
  /** `POST /mixture` changes what is mixed; everything else goes to the release that `x-release` names. */
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
