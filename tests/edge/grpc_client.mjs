// A gRPC client (@grpc/grpc-js) whose messages are bytes.

import { connect } from 'node:http2';

import { Client, credentials, Metadata } from '@grpc/grpc-js';

import { flightProgram } from './flight_program.mjs';
import { grpcWebServer, json } from './grpc_web_server.mjs';

const asIs = (bytes) => bytes;
const pathOf = (method) => (method.startsWith('/') ? method : `/test.Stand/${method}`);

/** Converts an object to metadata. The object's values are texts or arrays of texts. */
function metadataOf(object = {}) {
  const metadata = new Metadata();
  for (const [name, values] of Object.entries(object)) for (const value of [values].flat()) metadata.add(name, value);
  return metadata;
}

export function grpcClient(t, address, { ca = null, options = {} } = {}) {
  const client = new Client(address, ca ? credentials.createSsl(ca) : credentials.createInsecure(), {
    'grpc.max_receive_message_length': -1,
    'grpc.max_send_message_length': -1,
    // Each client has separate connections.
    'grpc.use_local_subchannel_pool': 1,
    ...(ca && { 'grpc.ssl_target_name_override': 'localhost' }),
    ...options,
  });
  t.after(() => client.close());
  const begun = (kind, method, ...given) => client[kind](pathOf(method), asIs, asIs, ...given);
  return {
    client,
    bidi: (method, metadata = {}, more = {}) => begun('makeBidiStreamRequest', method, metadataOf(metadata), more),
    /** Sends one message. The response may have any number of messages. */
    ask: (method, message, metadata = {}, more = {}) =>
      ended(begun('makeServerStreamRequest', method, message, metadataOf(metadata), more)),
    stream: (method, message, metadata = {}, more = {}) => begun('makeServerStreamRequest', method, message, metadataOf(metadata), more),
    unary: (method, message, metadata = {}, more = {}) =>
      new Promise((resolve, reject) => {
        begun('makeUnaryRequest', method, message, metadataOf(metadata), more, (error, answer) => (error ? reject(error) : resolve(answer)));
      }),
    collect: (method, messages, metadata = {}) =>
      new Promise((resolve, reject) => {
        const call = begun('makeClientStreamRequest', method, metadataOf(metadata), {}, (error, answer) => (error ? reject(error) : resolve(answer)));
        for (const message of messages) call.write(message);
        call.end();
      }),
  };
}

/** Resolves to `{ messages, code, details, metadata, trailers }`. Never rejects. */
export function ended(call) {
  return new Promise((resolve) => {
    const end = { messages: [], metadata: null };
    call.on('data', (message) => end.messages.push(message));
    call.on('metadata', (metadata) => (end.metadata = metadata));
    call.on('error', () => {});
    call.on('status', ({ code, details, metadata: trailers }) => resolve({ ...end, code, details, trailers }));
  });
}

/** Starts `tidemark flight` in front of `to`, with short limits, until the end of the test. */
export function transcoding(t, to, { tls = null, limits = {}, ...more } = {}) {
  const words = tls ? ['--tls-cert', tls.file, '--tls-key', tls.keyFile] : [];
  return flightProgram(t, to, { words, limits: { graceMs: 200, lingerMs: 300, ...limits }, ...more });
}

/**
 * Starts a gRPC-Web server, `tidemark flight` in front of the server, and a client. `say(response)`
 * requests a response from the server.
 */
export async function chain(t, { limits, ...about } = {}) {
  const server = await grpcWebServer(t, about);
  const transcoder = await transcoding(t, server.url, { trusts: server.trusts, limits });
  const client = grpcClient(t, transcoder.address);
  return { server, client, say: (response) => client.ask('Say', json(response)), ...transcoder };
}

/**
 * Returns the address at which `server` accepts gRPC, and the calls that the transcoder has logged.
 * The native host accepts gRPC itself. The Worker needs the transcoder.
 */
export function flightOf(t, server) {
  if (!server.isNative) return transcoding(t, server.url);
  return { port: server.port, address: `127.0.0.1:${server.port}`, calls: () => [] };
}

/** Opens a call as an HTTP/2 stream on a new connection. The caller writes its bytes. */
export function openCall(t, port, method, { headers = {}, ...more } = {}) {
  const session = connect(`http://127.0.0.1:${port}`, more);
  session.on('error', () => {});
  t.after(() => session.destroy());
  const asked = { ':method': 'POST', ':path': pathOf(method), 'content-type': 'application/grpc', te: 'trailers', ...headers };
  const stream = session.request(asked, { endStream: false });
  stream.on('error', () => {});
  return stream;
}

/**
 * The body `frames` does not end if `isOpen` is set. Resolves to `{ headers, trailers, body,
 * rstCode }` when the stream is closed.
 */
export function rawCall(t, port, { headers = {}, frames = Buffer.alloc(0), isOpen = false } = {}) {
  const stream = openCall(t, port, 'Count', { headers });
  const { session } = stream;
  const answer = { headers: {}, trailers: {}, body: Buffer.alloc(0) };
  stream.on('response', (received) => (answer.headers = received));
  stream.on('trailers', (received) => (answer.trailers = received));
  stream.on('data', (piece) => (answer.body = Buffer.concat([answer.body, piece])));
  stream.write(frames);
  if (!isOpen) stream.end();
  return new Promise((resolve) => {
    stream.on('close', () => {
      session.close();
      resolve({ ...answer, rstCode: stream.rstCode });
    });
  });
}
