// Finds out that whoever is at the other end of a connection of HTTP/2 is gone without a word.

/**
 * Sends a PING every `pingMs` for which `isWanted()`, and destroys `session` when its answer takes longer than
 * `pingAnswerMs`. Ends with the session.
 *
 * @param {import('node:http2').Http2Session} session
 */
export function keepAlive(session, { pingMs, pingAnswerMs, isWanted = () => true }) {
  let isWaiting = false;
  const timer = setInterval(() => {
    if (isWaiting || session.destroyed || !isWanted()) return;
    isWaiting = true;
    const late = setTimeout(() => session.destroy(new Error('no answer to PING')), pingAnswerMs);
    const answered = () => {
      isWaiting = false;
      clearTimeout(late);
    };
    session.once('close', answered);
    // False before the other side has said a word: the time runs all the same.
    session.ping(() => {
      session.off('close', answered);
      answered();
    });
  }, pingMs);
  timer.unref();
  session.once('close', () => clearInterval(timer));
}
