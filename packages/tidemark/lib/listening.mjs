// Parses and checks the addresses on which commands listen, and their certificates.

import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { resolve } from 'node:path';

import { UserError } from './command.mjs';

export function portOf(option, text) {
  const number = Number(text);
  if (Number.isInteger(number) && number >= 1 && number <= 65_535) return number;
  throw new UserError(`${option} is "${text}": it has to be a number from 1 to 65535.`);
}

/** An IPv6 address is in brackets. Throws a [UserError] if the text is invalid. */
export function placeOf(option, text) {
  const found = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]+)):(\d+)$/i.exec(text);
  if (!found) throw new UserError(`${option} is "${text}": it has to be like 127.0.0.1:8788 or [::1]:8788.`);
  return { host: found[1] ?? found[2], port: portOf(option, found[3]) };
}

export const placeText = ({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`;

/** Throws a [UserError] if the address is not free. Its message suggests the option `option`. */
export function mustBeFree({ host, port }, option) {
  return new Promise((free, reject) => {
    const probe = createServer();
    probe.once('error', (/** @type {NodeJS.ErrnoException} */ error) => {
      const why = error.code === 'EADDRINUSE' ? `is in use: stop the program that listens there, or choose another ${option}` : `cannot be used (${error.code})`;
      reject(new UserError(`${placeText({ host, port })} ${why}.`));
    });
    probe.listen({ host, port, exclusive: true }, () => probe.close(free));
  });
}

export const tlsOptions = {
  'tls-cert': { value: 'FILE', env: 'TLS_CERT', help: 'the certificate chain (PEM); enables TLS' },
  'tls-key': { value: 'FILE', env: 'TLS_KEY', help: 'the private key of the certificate (PEM)' },
};

/** Returns the certificate and the key, or null. Throws if only one of the two files is given. */
export function tlsOf({ 'tls-cert': cert, 'tls-key': key }) {
  if (!cert && !key) return null;
  if (!cert || !key) throw new UserError('--tls-cert and --tls-key belong together: use both.');
  const missing = [cert, key].find((path) => !existsSync(path));
  if (missing) throw new UserError(`${missing} does not exist.`);
  return { cert: resolve(cert), key: resolve(key) };
}
