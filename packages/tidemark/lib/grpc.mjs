// Sends a gRPC call to find out how the platform converts it: a Worker has no trailers and responds
// with gRPC-Web.

import { connect, constants } from 'node:http2';

const path = '/grpc';
const callMs = 20_000;

/** A gRPC frame with one byte. */
const message = Buffer.from([0, 0, 0, 0, 1, 1]);

function called(scratch) {
  return new Promise((resolve, reject) => {
    const session = connect(scratch.url);
    const end = (settle, what) => (session.destroy(), settle(what));
    session.on('error', (error) => end(reject, error));
    session.setTimeout(callMs, () => end(reject, new Error('no response over HTTP/2')));
    const stream = session.request({
      [constants.HTTP2_HEADER_METHOD]: 'POST',
      [constants.HTTP2_HEADER_PATH]: path,
      'content-type': 'application/grpc',
      te: 'trailers',
      'probe-token': scratch.token,
    });
    const answer = { headers: {}, trailers: {}, body: Buffer.alloc(0) };
    stream.on('response', (headers) => (answer.headers = headers));
    stream.on('trailers', (trailers) => (answer.trailers = trailers));
    stream.on('data', (piece) => (answer.body = Buffer.concat([answer.body, piece])));
    stream.on('error', (error) => end(reject, error));
    stream.on('end', () => (answer.headers[':status'] ? end(resolve, answer) : end(reject, new Error('no response over HTTP/2'))));
    stream.end(message);
  });
}

export async function grpcAnswer(scratch) {
  const { headers, trailers, body } = await called(scratch);
  const seen = headers['probe-content-type'];
  const status = trailers['grpc-status'];
  const isInBody = body.includes('grpc-status');
  const where = status !== undefined ? `trailer grpc-status ${status}` : isInBody ? 'trailers in the body: not converted' : 'no grpc-status';
  return `${headers[':status']}, ${headers['content-type']}, ${where}; the Worker saw ${seen || 'no content type'}`;
}
