// tidemark flight: runs a gRPC proxy for a server that supports gRPC-Web.

import { readFileSync } from 'node:fs';

import { UserError } from '../lib/command.mjs';
import { addressOf } from '../lib/connection.mjs';
import { mustBeFree, placeOf, placeText, tlsOf, tlsOptions } from '../lib/listening.mjs';
import { logEvent, requestLogger } from '../lib/log.mjs';
import { Transcoder } from '../lib/transcoder.mjs';

function greet({ address, to }) {
  if (!process.stdout.isTTY) return logEvent('started', { address, to });
  console.log(`
This proxy accepts gRPC at ${address}, and forwards it to ${to} as gRPC-Web.

Press Ctrl-C to stop. Each line below is a call.
`);
}

async function run(options, words) {
  if (words.length > 0) throw new UserError(`Unexpected argument "${words[0]}". See tidemark flight --help.`);
  const place = placeOf('--listen', options.listen);
  const to = addressOf('--to', options.to);
  const files = tlsOf(options);
  const tls = files && { cert: readFileSync(files.cert), key: readFileSync(files.key) };
  await mustBeFree(place, '--listen');
  const transcoder = new Transcoder({ to, tls, logEvent: requestLogger() });
  const stopped = new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => resolve(transcoder.stop()));
  });
  await transcoder.listen(place);
  greet({ address: `${tls ? 'grpc+tls' : 'grpc'}://${placeText(place)}`, to: to.href });
  await stopped;
  if (!process.stdout.isTTY) logEvent('stopped', {});
}

/** @type {import('../lib/command.mjs').Command} */
export default {
  summary: 'accepts gRPC and forwards it as gRPC-Web to a server',
  usage: '[--listen HOST:PORT] [--to URL] …',
  about: `
Clients of Arrow Flight use gRPC over HTTP/2, which ends a response with trailers. A Worker cannot send trailers,
so it uses gRPC-Web: the same messages, with the trailers in the body. The command runs a proxy that translates
between gRPC and gRPC-Web. A deployment at workers.dev needs this proxy. The native program does not need it.

The proxy stores no data, and supports every method. If a client reads slowly, the proxy also reads slowly from the
server. The proxy forwards deadlines and cancellations. A truncated response always causes the error DataLoss.

The proxy forwards tokens, and the server checks them. Clients on other machines should use TLS. If the server
uses a private certificate, name the certificate's file in NODE_EXTRA_CA_CERTS. On SIGTERM running calls have ten
seconds to end. The log has one JSON line per call; LOG_REQUESTS=errors logs only failures, and
LOG_REQUESTS=none logs no calls.`,
  options: {
    listen: { value: 'HOST:PORT', env: 'FLIGHT_LISTEN', fallback: '127.0.0.1:8788', help: 'the address and port for gRPC' },
    to: { value: 'URL', env: 'TIDEMARK_URL', fallback: 'http://127.0.0.1:8787', help: "the server's address; the proxy uses HTTP/1.1, with https also HTTP/2" },
    ...tlsOptions,
  },
  examples: [
    ['tidemark flight', 'forward to `npm start` on this machine'],
    ['tidemark flight --to https://tidemark.example.workers.dev', 'forward to a deployment'],
    ['tidemark flight --listen 0.0.0.0:443 --tls-cert chain.pem --tls-key key.pem', 'accept gRPC from other machines, with TLS'],
  ],
  run,
};
