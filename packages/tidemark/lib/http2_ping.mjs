// Detects an HTTP/2 connection whose peer has disappeared.

/**
 * Destroys `session` if the peer takes longer than `pingAnswerMs` to reply.
 * @param {import('node:http2').Http2Session} session
 */
export function keepAlive(session, { pingMs, pingAnswerMs, isWanted = () => true }) {
  let isWaiting = false;
  const timer = setInterval(() => {
    if (isWaiting || session.destroyed || !isWanted()) return;
    isWaiting = true;
    const late = setTimeout(() => session.destroy(new Error('no response to a PING')), pingAnswerMs);
    const answered = () => {
      isWaiting = false;
      clearTimeout(late);
    };
    session.once('close', answered);
    // `ping` returns false until the peer has sent its settings.
    session.ping(() => {
      session.off('close', answered);
      answered();
    });
  }, pingMs);
  timer.unref();
  session.once('close', () => clearInterval(timer));
}
