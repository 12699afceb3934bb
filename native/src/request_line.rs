//! Escapes characters in the first lines of HTTP/1 requests. hyper rejects these characters, but
//! curl and other clients send the quotes of names without escapes, and InfluxDB accepts them.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The length of the body of a connection's newest request.
#[derive(Clone, Default)]
pub struct BodyLength(Rc<Cell<Option<u64>>>);

impl BodyLength {
    /// Records a new request, whose body has this number of bytes; `None` if the number is unknown.
    /// Call this function before hyper reads the rest of the body.
    pub fn record(&self, bytes: Option<u64>) {
        // If two requests arrived in one read, the length of the first is still recorded. The start
        // of the next request is then unknown.
        let bytes = bytes.filter(|_| self.0.get().is_none());
        self.0.set(Some(bytes.unwrap_or(u64::MAX)));
    }
}

/// A connection whose request lines are escaped. After a body of unknown length, or if two requests
/// arrive in one read, all later bytes pass through unchanged.
pub struct EscapedRequestLines<S> {
    stream: S,
    position: Position,
    body_length: BodyLength,
    /// Bytes that were read, but did not fit into the reader's buffer.
    pending: Vec<u8>,
}

/// The position in a request. `is_empty` is whether the current line has no character so far.
#[derive(Clone, Copy)]
enum Position {
    RequestLine {
        is_empty: bool,
    },
    Headers {
        is_empty: bool,
    },
    /// After the head and this number of further bytes.
    Body(u64),
}

impl<S> EscapedRequestLines<S> {
    pub fn new(stream: S, body_length: BodyLength) -> Self {
        let position = Position::RequestLine { is_empty: true };
        Self { stream, position, body_length, pending: Vec::new() }
    }

    /// Returns the bytes with an escaped request line, or `None` if they need no escape.
    fn escape(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        if let Position::Body(read) = self.position
            && self.body_length.0.get() == Some(read)
        {
            self.body_length.0.set(None);
            self.position = Position::RequestLine { is_empty: true };
        }
        let mut escaped = Vec::new();
        let mut copied = 0;
        for (index, &byte) in bytes.iter().enumerate() {
            self.position = match (self.position, byte) {
                (Position::Body(read), _) => {
                    self.position = Position::Body(read + (bytes.len() - index) as u64);
                    break;
                }
                // Empty lines may precede a request line.
                (position, b'\r')
                | (position @ Position::RequestLine { is_empty: true }, b'\n') => position,
                (Position::Headers { is_empty: true }, b'\n') => Position::Body(0),
                (_, b'\n') => Position::Headers { is_empty: true },
                (Position::Headers { .. }, _) => Position::Headers { is_empty: false },
                (Position::RequestLine { .. }, byte) => {
                    if is_escaped(byte) {
                        escaped.extend_from_slice(bytes.get(copied..index).unwrap_or_default());
                        escaped.extend_from_slice(format!("%{byte:02X}").as_bytes());
                        copied = index + 1;
                    }
                    Position::RequestLine { is_empty: false }
                }
            };
        }
        if copied == 0 {
            return None;
        }
        escaped.extend_from_slice(bytes.get(copied..).unwrap_or_default());
        Some(escaped)
    }
}

/// Whether the byte is percent-encoded in the query of a URL. This includes `#`, which would end
/// the query.
fn is_escaped(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | b'#')
}

impl<S: AsyncRead + Unpin> AsyncRead for EscapedRequestLines<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.pending.is_empty() {
            let start = buffer.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
            let read = buffer.filled().get(start..).unwrap_or_default();
            let Some(escaped) = self.escape(read) else { return Poll::Ready(Ok(())) };
            self.pending = escaped;
            buffer.set_filled(start);
        }
        let count = self.pending.len().min(buffer.remaining());
        buffer.put_slice(self.pending.get(..count).unwrap_or_default());
        self.pending.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for EscapedRequestLines<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body lengths of the requests that hyper found before these bytes arrived, and the bytes.
    type Piece<'a> = (&'a [Option<u64>], &'a str);

    fn passed(pieces: &[Piece<'_>]) -> String {
        let body_length = BodyLength::default();
        let mut lines = EscapedRequestLines::new((), body_length.clone());
        let mut passed = String::new();
        for (found, piece) in pieces {
            found.iter().for_each(|bytes| body_length.record(*bytes));
            match lines.escape(piece.as_bytes()) {
                Some(escaped) => passed.push_str(std::str::from_utf8(&escaped).unwrap()),
                None => passed.push_str(piece),
            }
        }
        passed
    }

    const GET: &str = "GET /?q=\"a\" HTTP/1.1\r\nEtag: \"<>\"\r\n\r\n";
    const ESCAPED_GET: &str = "GET /?q=%22a%22 HTTP/1.1\r\nEtag: \"<>\"\r\n\r\n";
    const POST: &str = "POST /write HTTP/1.1\r\nContent-Length: 9\r\n\r\n";
    const BODY: &str = "m f=\"<>\"\n";

    #[test]
    fn only_request_lines_are_escaped() {
        let escaped = "GET /query?q=%22a%22%3C1%23 HTTP/1.1\r\nEtag: \"<>\"\r\n\r\n";
        let (line, headers) = ("GET /query?q=\"a\"<1# HTTP/1.1\r\n", "Etag: \"<>\"\r\n\r\n");
        assert_eq!(passed(&[(&[], line), (&[], headers)]), escaped);
        let whole = format!("{line}{headers}");
        assert_eq!(passed(&[(&[], &whole), (&[Some(0)], &whole)]), escaped.repeat(2));
        let split = whole.split_inclusive("").map(|piece| -> Piece<'_> { (&[], piece) });
        assert_eq!(passed(&split.collect::<Vec<_>>()), escaped);
        let after_empty_lines = format!("\r\n\r\n{GET}");
        assert_eq!(passed(&[(&[], &after_empty_lines)]), format!("\r\n\r\n{ESCAPED_GET}"));
        let without_cr = passed(&[(&[], &GET.replace('\r', "")), (&[Some(0)], GET)]);
        assert_eq!(without_cr, format!("{}{ESCAPED_GET}", ESCAPED_GET.replace('\r', "")));
    }

    #[test]
    fn requests_after_bodies_are_escaped() {
        let (start, rest) = BODY.split_at(4);
        let whole = format!("{POST}{BODY}");
        let cases: [&[Piece<'_>]; 3] = [
            &[(&[], POST), (&[Some(9)], BODY), (&[], GET), (&[Some(0)], GET)],
            &[(&[], &whole), (&[Some(9)], GET), (&[Some(0)], GET)],
            &[(&[], POST), (&[Some(9)], start), (&[], rest), (&[], GET), (&[Some(0)], GET)],
        ];
        for pieces in cases {
            assert_eq!(passed(pieces), format!("{whole}{ESCAPED_GET}{ESCAPED_GET}"));
        }
    }

    #[test]
    fn early_requests_and_unknown_bodies_are_unchanged() {
        let all = format!("{POST}{BODY}{GET}");
        assert_eq!(passed(&[(&[], POST), (&[None], BODY), (&[], GET)]), all);
        // The client sent the second request before the first response.
        let first = "GET / HTTP/1.1\r\n\r\n";
        let early = format!("{first}{POST}");
        for second in [BODY.len(), POST.len()] {
            let found = [Some(0), Some(second as u64)];
            let pieces: [Piece<'_>; 3] = [(&[], &early), (&found, BODY), (&[], GET)];
            assert_eq!(passed(&pieces), format!("{first}{all}"));
        }
        let early = format!("{POST}{BODY}GET / HT");
        let pieces: [Piece<'_>; 3] = [(&[], &early), (&[Some(9)], "TP"), (&[], BODY)];
        assert_eq!(passed(&pieces), format!("{early}TP{BODY}"));
    }
}
