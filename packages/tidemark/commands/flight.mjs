// tidemark flight: a gRPC proxy for a server that supports gRPC-Web.

import { readFileSync } from 'node:fs';

import { Sentence } from '../lib/command.mjs';
import { addressOf } from '../lib/connection.mjs';
import { mustBeFree, placeOf, placeText, tlsOf, tlsOptions } from '../lib/listening.mjs';
import { tell, tellCalls } from '../lib/log.mjs';
import { Transcoder } from '../lib/transcoder.mjs';

function greet({ address, to }) {
  if (!process.stdout.isTTY) return tell('started', { address, to });
  console.log(`
gRPC is taken at ${address}, and passed to ${to} as gRPC-Web.

Ctrl-C ends it. Each line below is a call.
`);
}

async function run(options, words) {
  if (words.length > 0) throw new Sentence(`What is "${words[0]}"? See tidemark flight --help.`);
  const place = placeOf('--listen', options.listen);
  const to = addressOf('--to', options.to);
  const files = tlsOf(options);
  const tls = files && { cert: readFileSync(files.cert), key: readFileSync(files.key) };
  await mustBeFree(place, '--listen');
  const transcoder = new Transcoder({ to, tls, tell: tellCalls() });
  const stopped = new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => resolve(transcoder.stop()));
  });
  await transcoder.listen(place);
  greet({ address: `${tls ? 'grpc+tls' : 'grpc'}://${placeText(place)}`, to: to.href });
  await stopped;
  if (!process.stdout.isTTY) tell('stopped', {});
}

/** @type {import('../lib/command.mjs').Command} */
export default {
  summary: 'takes gRPC, and passes it as gRPC-Web to a server',
  usage: '[--listen HOST:PORT] [--to URL] …',
  about: `
Programs that query by Arrow Flight speak gRPC over HTTP/2, of which a Worker has no trailers: it answers
gRPC-Web, the same messages with the trailers in the body. Where nothing on the way turns one into the
other (workers.dev, \`tidemark serve\`), this does. It keeps nothing, knows no method, and holds
no more of a stream than what is on its way: a reader that is slow slows the server down. Deadlines and
cancellations go to the server, and an answer that was cut is an error (DataLoss), never a short answer.

Tokens are passed on: whoever connects is let in by the server, or not. Others than this machine should
come by TLS. A server with a certificate of your own is trusted by NODE_EXTRA_CA_CERTS. On SIGTERM what is under way may
go on for ten seconds. Its log has a line of JSON for each call (LOG_REQUESTS=errors: for failures; none).`,
  options: {
    listen: { value: 'HOST:PORT', env: 'FLIGHT_LISTEN', fallback: '127.0.0.1:8788', help: 'where gRPC is taken' },
    to: { value: 'URL', env: 'TIDEMARK_URL', fallback: 'http://127.0.0.1:8787', help: 'of the server: over HTTP/1.1, or with https also HTTP/2' },
    ...tlsOptions,
  },
  examples: [
    ['tidemark flight', 'before `tidemark serve` on this machine'],
    ['tidemark flight --to https://tidemark.example.workers.dev', 'before a deployment'],
    ['tidemark flight --listen 0.0.0.0:443 --tls-cert chain.pem --tls-key key.pem', 'for others'],
  ],
  run,
};
