//! Escapes characters in the first lines of HTTP/1 requests. hyper rejects these characters, but
//! curl and other clients send the quotes of names without escapes, and InfluxDB accepts them.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const HEAD_END: &[u8] = b"\r\n\r\n";

/// Whether the newest request of a connection has no body, so that a request line follows.
pub type HasNoBody = Rc<Cell<bool>>;

/// A connection whose request lines are escaped. After a request with a body, or if two requests
/// arrive in one read, all later bytes pass through unchanged.
pub struct EscapedRequestLines<S> {
    stream: S,
    position: Position,
    has_no_body: HasNoBody,
    /// Bytes that were read, but did not fit into the reader's buffer.
    pending: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Position {
    RequestLine,
    /// In the headers, after this number of bytes of [`HEAD_END`].
    Headers(usize),
    HeadEnd,
    /// After the head of a request.
    Behind,
}

impl<S> EscapedRequestLines<S> {
    pub fn new(stream: S, has_no_body: HasNoBody) -> Self {
        Self { stream, position: Position::RequestLine, has_no_body, pending: Vec::new() }
    }

    /// Returns the bytes with an escaped request line, or `None` if they need no escape.
    fn escape(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        if self.has_no_body.take() && matches!(self.position, Position::HeadEnd) {
            self.position = Position::RequestLine;
        }
        let in_line = match self.position {
            Position::RequestLine => {
                bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len())
            }
            _ => 0,
        };
        let (line, rest) = bytes.split_at(in_line);
        for byte in rest {
            self.position = match self.position {
                Position::RequestLine => Position::Headers(2),
                Position::Headers(matched) if HEAD_END.get(matched) == Some(byte) => {
                    if matched + 1 == HEAD_END.len() {
                        Position::HeadEnd
                    } else {
                        Position::Headers(matched + 1)
                    }
                }
                Position::Headers(_) => Position::Headers(usize::from(*byte == b'\r')),
                Position::HeadEnd | Position::Behind => Position::Behind,
            };
            if matches!(self.position, Position::Behind) {
                break;
            }
        }
        if !line.iter().any(|byte| is_escaped(*byte)) {
            return None;
        }
        let mut escaped = Vec::with_capacity(bytes.len() + 64);
        for byte in line {
            if is_escaped(*byte) {
                escaped.extend_from_slice(format!("%{byte:02X}").as_bytes());
            } else {
                escaped.push(*byte);
            }
        }
        escaped.extend_from_slice(rest);
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

    /// Passes the pieces through. Before each piece, `without_body` states whether the previous
    /// request had no body.
    fn passed(pieces: &[(bool, &str)]) -> String {
        let flag = HasNoBody::default();
        let mut lines = EscapedRequestLines::new((), Rc::clone(&flag));
        let mut passed = String::new();
        for (without_body, piece) in pieces {
            flag.set(*without_body);
            match lines.escape(piece.as_bytes()) {
                Some(escaped) => passed.push_str(std::str::from_utf8(&escaped).unwrap()),
                None => passed.push_str(piece),
            }
        }
        passed
    }

    #[test]
    fn only_request_lines_are_escaped() {
        let escaped = "GET /query?q=%22a%22%3C1%23 HTTP/1.1\r\nEtag: \"<>\"\r\n\r\n";
        let (line, headers) = ("GET /query?q=\"a\"<1# HTTP/1.1\r\n", "Etag: \"<>\"\r\n\r\n");
        assert_eq!(passed(&[(false, line), (false, headers)]), escaped);
        let whole = format!("{line}{headers}");
        assert_eq!(passed(&[(false, &whole), (true, &whole)]), escaped.repeat(2));
        let split: Vec<(bool, &str)> =
            whole.split_inclusive("").map(|piece| (false, piece)).collect();
        assert_eq!(passed(&split), escaped);
    }

    #[test]
    fn bodies_and_later_requests_are_unchanged() {
        let head = "POST /write HTTP/1.1\r\nContent-Length: 9\r\n\r\n";
        let (body, get) = ("m f=\"<>\"\n", "GET /?q=\"a\" HTTP/1.1\r\n\r\n");
        let all = format!("{head}{body}{get}");
        assert_eq!(passed(&[(false, head), (false, body), (false, get)]), all);
        assert_eq!(passed(&[(false, &format!("{head}{body}")), (true, get)]), all);
        // The client sent the second request before the first response.
        let early = format!("GET / HTTP/1.1\r\n\r\n{head}");
        assert_eq!(passed(&[(false, &early), (true, body)]), format!("{early}{body}"));
    }
}
