// Uploads a file in batches. The user can pause the upload. After a failure, the upload continues
// with the failed batch.

import { resultText, ensureDatabase, passes, unitName, write } from '../api/write.js';
import { button, el } from '../dom.js';
import { batches, contentsOf } from './batches.js';
import { check, mistakeText } from './check.js';

/** The number of automatic attempts for a batch. */
const triesMax = 4;

const answersMax = 100;

const after = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const number = (value) => value.toLocaleString('en');

/** Displays the progress. Calls `done()` at the end. */
export function upload(file, target, done) {
  const counts = { read: 0, unpacked: 0, sent: 0, lines: 0, batches: 0, refused: 0 };
  const bar = el('progress', {
    max: Math.max(1, file.size),
    value: 0,
    'aria-label': `Upload of ${file.name}`,
  });
  const status = el('p', { class: 'faint', 'aria-live': 'polite' }, 'Starting …');
  const made = el('p', { class: 'made' });
  const doubt = el('div', { class: 'notice row', role: 'status', hidden: true });
  const answers = el('ul', { class: 'answers' });
  let hold = null;
  let goOn = null;
  const pause = button('Pause', () => (hold ? release() : stop('Paused')), {});
  const stop = (words) => {
    hold = new Promise((resolve) => (goOn = resolve));
    pause.textContent = words === 'Paused' ? 'Continue' : 'Retry';
    status.textContent = `${words} after ${number(counts.lines)} lines.`;
  };
  const release = () => {
    pause.textContent = 'Pause';
    hold = null;
    goOn();
  };
  const element = el(
    'section',
    { class: 'upload', 'aria-label': file.name },
    el('div', { class: 'row' }, el('strong', {}, file.name), pause),
    bar,
    made,
    doubt,
    status,
    answers,
  );
  const show = () => {
    // The position in the file. The file may be compressed.
    bar.value = (counts.read * counts.sent) / counts.unpacked;
    const several = counts.batches === 1 ? 'response' : 'responses';
    const answered = `${number(counts.batches)} ${several} received`;
    status.textContent =
      `${hold ? 'Paused: ' : ''}${number(counts.lines)} lines sent, ${answered}` +
      (counts.refused ? `; the server rejected lines in ${number(counts.refused)} of the batches` : '') +
      '.';
  };
  const tell = (reply, first) => {
    if (answers.children.length >= answersMax) return;
    const which = `Response to the batch from line ${number(first)}:`;
    answers.append(
      el('li', {}, el('p', { class: 'faint' }, which), el('pre', {}, resultText(reply))),
    );
  };

  let isReady = false;
  /** Sends a batch. Before the first batch, creates the database if it does not exist. */
  async function attempt(bytes) {
    try {
      if (!isReady) made.textContent = await ensureDatabase(target.db);
      isReady = true;
    } catch (error) {
      return { status: error.status, text: error.message, retryAfter_s: 0 };
    }
    return write(bytes, target);
  }

  /** Sends a batch until the server accepts or rejects the batch. */
  async function send(bytes, first) {
    for (let tries = 1; ; tries += 1) {
      while (hold) await hold;
      const reply = await attempt(bytes);
      if (!passes(reply.status)) return reply;
      if (tries % triesMax === 0) {
        tell(reply, first);
        stop('Failed');
      } else {
        status.textContent = `${resultText(reply)} Trying again …`;
        await after(Math.max(reply.retryAfter_s * 1000, 250 * 2 ** tries));
      }
    }
  }

  /**
   * Asks the user for the unit if the timestamps in the first batch look like a unit other than the
   * selected one.
   */
  async function settlePrecision(bytes) {
    const { mistaken } = await check(bytes, target.precision).catch(() => ({ mistaken: null }));
    if (mistaken === null) return;
    status.textContent = 'Choose the unit of the times.';
    target.precision = await new Promise((chosen) => {
      const ways = [mistaken.unit, target.precision].map((unit) =>
        button(`The times are ${unitName(unit)}`, () => chosen(unit)),
      );
      doubt.replaceChildren(el('span', {}, mistakeText(mistaken, target.precision)), ...ways);
      doubt.hidden = false;
    });
    doubt.hidden = true;
  }

  async function all() {
    const stream = await contentsOf(file, (bytes) => (counts.read += bytes));
    for await (const { bytes, lines, first } of batches(
      stream,
      (count) => (counts.unpacked += count),
    )) {
      if (counts.batches === 0) await settlePrecision(bytes);
      const reply = await send(bytes, first);
      counts.sent += bytes.length;
      counts.lines += lines;
      counts.batches += 1;
      if (reply.status !== 204) {
        counts.refused += 1;
        tell(reply, first);
        if (reply.status !== 400) throw new Error('The server rejected the file. The responses of the server are below.');
      }
      show();
    }
    status.textContent = counts.batches > 0 ? `Done: ${status.textContent}` : 'This file is empty.';
  }

  all()
    .catch((error) => {
      status.textContent = /gzip|compress|junk/i.test(`${error.name} ${error.message}`)
        ? 'The browser cannot decompress this gzip file: decompress the file first, and upload the decompressed file.'
        : error.message;
      status.className = 'wrong';
    })
    .finally(() => {
      pause.remove();
      done();
    });
  return element;
}
