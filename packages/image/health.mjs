// The image's health check: exits with 0 if the container's server responds with status 200.

import { request } from 'node:http';
import { request as requestTls } from 'node:https';

const answerMs = 4_000;

const { PORT = '8787', TLS_CERT } = process.env;
// The certificate is not checked, because the request stays on this machine.
const options = { host: '127.0.0.1', port: PORT, path: '/health', timeout: answerMs, rejectUnauthorized: false };
const asked = (TLS_CERT ? requestTls : request)(options, (response) => {
  response.resume();
  process.exitCode = response.statusCode === 200 ? 0 : 1;
});
asked.on('timeout', () => asked.destroy(new Error('no answer')));
asked.on('error', (error) => {
  console.error(error.message);
  process.exitCode = 1;
});
asked.end();
