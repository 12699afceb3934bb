// Writes: one body to /api/v2/write, and what the server says to it.

import { request } from './transport.js';

/** How the precision is called in the address, and on screen. */
export const precisions = [
  ['ns', 'nanoseconds'],
  ['us', 'microseconds'],
  ['ms', 'milliseconds'],
  ['s', 'seconds'],
];

/**
 * Sends line protocol (text or bytes). Resolves with `{ status, text, retryAfter_s }`; a status of
 * 0 means that no answer came.
 */
export async function write(lines, { db, precision }) {
  const path = `/api/v2/write?${new URLSearchParams({ bucket: db, precision })}`;
  const headers = { 'Content-Type': 'text/plain; charset=utf-8' };
  try {
    const response = await request(path, { method: 'POST', headers, body: lines });
    const retryAfter_s = Number(response.headers.get('Retry-After')) || 0;
    return { status: response.status, text: await response.text(), retryAfter_s };
  } catch (error) {
    const text =
      error.name === 'EngineError'
        ? error.message
        : `The server could not be reached: ${error.message}`;
    return { status: 0, text, retryAfter_s: 0 };
  }
}

/** The sentence of a reply for a person: its message, line by line. */
export function answerText({ status, text }) {
  if (status === 204) return '204 No Content: every line was written.';
  try {
    return `${status}: ${JSON.parse(text).message ?? text}`;
  } catch {
    return `${status || 'No answer'}: ${text}`;
  }
}
