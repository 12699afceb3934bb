//! Adapts the heads of HTTP/1 requests to hyper.
//!
//! hyper rejects some characters in request lines, but curl and other clients send the quotes of
//! names without escapes, and InfluxDB accepts them. hyper also rejects a URL of 64 KB or more, and
//! sends no body with this error. Therefore the end of a long query does not pass through hyper,
//! and neither do the headers of a request that the server refuses because its head is too large.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::head_memory::{HeadMemory, HeadReservation};
use crate::limits::{HEAD_BYTES_MAX, REQUEST_LINE_BYTES};

/// The reason for which the server refuses a request because of its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadRefusal {
    /// The request line has more than `HEAD_BYTES_MAX` bytes, or its path is too long.
    LongUrl,
    /// The whole head has more than `HEAD_BYTES_MAX` bytes.
    LongHead,
    /// Other large heads use all memory for large heads.
    Busy,
}

/// The part of a request's head that did not pass through hyper.
#[derive(Debug, Default)]
pub struct HeadRest {
    /// The end of the URL's query, percent-encoded.
    pub query: String,
    pub refusal: Option<HeadRefusal>,
    /// The memory of the head, which is free again when the request has ended.
    pub reservation: Option<HeadReservation>,
}

/// A connection's newest request, as far as the stream and the service share it.
#[derive(Clone, Default)]
pub struct NewestRequest {
    body_bytes: Rc<Cell<Option<u64>>>,
    rest: Rc<RefCell<HeadRest>>,
}

impl NewestRequest {
    /// Records a new request, whose body has this number of bytes; `None` if the number is unknown.
    /// Returns the rest of the head. Call this function before hyper reads the rest of the body.
    pub fn record(&self, bytes: Option<u64>) -> HeadRest {
        // If two requests arrived in one read, the length of the first is still recorded. The start
        // of the next request is then unknown.
        let bytes = bytes.filter(|_| self.body_bytes.get().is_none());
        self.body_bytes.set(Some(bytes.unwrap_or(u64::MAX)));
        self.rest.take()
    }
}

/// A connection whose request lines are escaped. After a body of unknown length, or if two requests
/// arrive in one read, all later bytes pass through unchanged.
pub struct AdaptedHeads<S> {
    stream: S,
    position: Position,
    line: RequestLine,
    /// The number of bytes of the head so far.
    head_bytes: usize,
    /// Whether the stream discards the rest of the head.
    is_discarding: bool,
    request: NewestRequest,
    memory: Arc<HeadMemory>,
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
        has_colon: bool,
    },
    /// After the head and this number of further bytes.
    Body(u64),
}

/// The request line so far.
#[derive(Clone, Copy, Default)]
struct RequestLine {
    /// The number of bytes that hyper receives.
    bytes: usize,
    spaces: u32,
    has_query: bool,
    /// Whether the end of the URL does not pass through hyper.
    is_cut: bool,
}

/// Bytes of which some are replaced.
struct Replaced<'a> {
    bytes: &'a [u8],
    out: Option<Vec<u8>>,
    copied: usize,
}

impl Replaced<'_> {
    fn replace(&mut self, index: usize, by: &[u8]) {
        let out = self.out.get_or_insert_default();
        out.extend_from_slice(self.bytes.get(self.copied..index).unwrap_or_default());
        out.extend_from_slice(by);
        self.copied = index + 1;
    }

    fn finish(self) -> Option<Vec<u8>> {
        let mut out = self.out?;
        out.extend_from_slice(self.bytes.get(self.copied..).unwrap_or_default());
        Some(out)
    }
}

impl<S> AdaptedHeads<S> {
    pub fn new(stream: S, request: NewestRequest, memory: Arc<HeadMemory>) -> Self {
        Self {
            stream,
            position: Position::RequestLine { is_empty: true },
            line: RequestLine::default(),
            head_bytes: 0,
            is_discarding: false,
            request,
            memory,
            pending: Vec::new(),
        }
    }

    /// Returns the bytes for hyper, or `None` if they are unchanged.
    fn adapt(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        if let Position::Body(read) = self.position
            && self.request.body_bytes.get() == Some(read)
        {
            self.request.body_bytes.set(None);
            self.position = Position::RequestLine { is_empty: true };
            (self.line, self.head_bytes) = (RequestLine::default(), 0);
            self.is_discarding = false;
        }
        let mut replaced = Replaced { bytes, out: None, copied: 0 };
        for (index, &byte) in bytes.iter().enumerate() {
            if let Position::Body(read) = self.position {
                self.position = Position::Body(read + (bytes.len() - index) as u64);
                break;
            }
            self.count_byte();
            if self.is_discarding {
                replaced.replace(index, b"");
            }
            self.position = match (self.position, byte) {
                // Empty lines may precede a request line.
                (position, b'\r')
                | (position @ Position::RequestLine { is_empty: true }, b'\n') => position,
                (Position::Headers { is_empty: true, .. }, b'\n') => {
                    if self.is_discarding {
                        replaced.out.get_or_insert_default().extend_from_slice(b"\r\n\r\n");
                    }
                    Position::Body(0)
                }
                (_, b'\n') => Position::Headers { is_empty: true, has_colon: false },
                (Position::Headers { has_colon, .. }, _) => {
                    Position::Headers { is_empty: false, has_colon: has_colon || byte == b':' }
                }
                (_, byte) => {
                    if let Some(by) = self.adapt_in_line(byte) {
                        replaced.replace(index, &by);
                    }
                    Position::RequestLine { is_empty: false }
                }
            };
            // hyper would reject a header without a colon.
            if let Position::Headers { is_empty, has_colon } = self.position
                && (is_empty || has_colon)
                && !self.is_discarding
                && self.request.rest.borrow().refusal.is_some()
            {
                self.is_discarding = true;
            }
        }
        replaced.finish()
    }

    /// Counts a byte of the head. Refuses the request if the head is too large.
    fn count_byte(&mut self) {
        let mut rest = self.request.rest.borrow_mut();
        if rest.refusal.is_some() {
            return;
        }
        self.head_bytes += 1;
        let is_line = matches!(self.position, Position::RequestLine { .. });
        if self.head_bytes > HEAD_BYTES_MAX {
            rest.refusal = Some(if is_line { HeadRefusal::LongUrl } else { HeadRefusal::LongHead });
        } else if !self.memory.grow(&mut rest.reservation, self.head_bytes) {
            rest.refusal = Some(HeadRefusal::Busy);
        }
    }

    /// Returns the bytes that replace a byte of the request line, or `None` if it is unchanged.
    fn adapt_in_line(&mut self, byte: u8) -> Option<Vec<u8>> {
        let line = &mut self.line;
        if byte == b' ' {
            line.spaces += 1;
        }
        if line.spaces != 1 {
            return None;
        }
        line.has_query |= byte == b'?';
        // A character with several bytes is not divided.
        line.is_cut |= line.bytes >= REQUEST_LINE_BYTES && byte.is_ascii();
        if line.is_cut {
            let mut rest = self.request.rest.borrow_mut();
            if !line.has_query {
                rest.refusal.get_or_insert(HeadRefusal::LongUrl);
            }
            match rest.refusal {
                // A refused request needs no query.
                Some(_) => rest.query = String::new(),
                None if is_escaped(byte) || !byte.is_ascii_graphic() => {
                    rest.query.push_str(&format!("%{byte:02X}"));
                }
                None => rest.query.push(char::from(byte)),
            }
            return Some(Vec::new());
        }
        let escaped = is_escaped(byte).then(|| format!("%{byte:02X}").into_bytes());
        line.bytes += escaped.as_ref().map_or(1, Vec::len);
        escaped
    }
}

/// Whether the byte is percent-encoded in the query of a URL. This includes `#`, which would end
/// the query.
fn is_escaped(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | b'#')
}

impl<S: AsyncRead + Unpin> AsyncRead for AdaptedHeads<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // hyper takes a read without bytes for the end of the connection.
        while self.pending.is_empty() {
            let start = buffer.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
            let read = buffer.filled().get(start..).unwrap_or_default();
            if read.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let Some(adapted) = self.adapt(read) else { return Poll::Ready(Ok(())) };
            self.pending = adapted;
            buffer.set_filled(start);
        }
        let count = self.pending.len().min(buffer.remaining());
        buffer.put_slice(self.pending.get(..count).unwrap_or_default());
        self.pending.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AdaptedHeads<S> {
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
        let newest = NewestRequest::default();
        let mut heads = AdaptedHeads::new((), newest.clone(), Arc::default());
        let mut passed = String::new();
        for (found, piece) in pieces {
            found.iter().for_each(|bytes| drop(newest.record(*bytes)));
            match heads.adapt(piece.as_bytes()) {
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

    /// Passes a request in pieces. Returns the bytes for hyper, and the rest of the head.
    fn adapted(request: &str, memory: &Arc<HeadMemory>) -> (String, HeadRest) {
        let newest = NewestRequest::default();
        let mut heads = AdaptedHeads::new((), newest.clone(), Arc::clone(memory));
        let mut passed = Vec::new();
        for piece in request.as_bytes().chunks(1_000) {
            passed.extend(heads.adapt(piece).unwrap_or_else(|| piece.to_vec()));
        }
        assert!(matches!(heads.position, Position::Body(_)));
        (String::from_utf8(passed).unwrap(), newest.record(Some(0)))
    }

    #[test]
    fn end_of_long_query_bypasses_hyper() {
        let memory = Arc::default();
        let query = "q=\"é%20\"".repeat(9_000);
        let request = format!("GET /query?{query} HTTP/1.1\r\nEtag: \"<>\"\r\n\r\n");
        let (passed, rest) = adapted(&request, &memory);
        assert!(passed.ends_with(" HTTP/1.1\r\nEtag: \"<>\"\r\n\r\n"));
        let first = passed.strip_prefix("GET /query?").unwrap().split(' ').next().unwrap();
        assert!(first.len() < REQUEST_LINE_BYTES && rest.refusal.is_none());
        let whole = format!("{first}{}", rest.query).replace('é', "%C3%A9");
        assert_eq!(whole, query.replace('é', "%C3%A9").replace('"', "%22"));
    }

    #[test]
    fn too_large_heads_are_refused_with_bounded_memory() {
        let memory: Arc<HeadMemory> = Arc::default();
        let long = "x".repeat(HEAD_BYTES_MAX);
        for (request, refusal) in [
            (format!("GET /query?q={long} HTTP/1.1\r\nHost: t\r\n\r\n"), HeadRefusal::LongUrl),
            (format!("GET /{long} HTTP/1.1\r\n\r\n"), HeadRefusal::LongUrl),
            (format!("GET / HTTP/1.1\r\nA: {long}\r\nB: c\r\n\r\n"), HeadRefusal::LongHead),
            (
                format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(HEAD_BYTES_MAX / 6)),
                HeadRefusal::LongHead,
            ),
        ] {
            let (passed, rest) = adapted(&request, &memory);
            assert_eq!(rest.refusal, Some(refusal), "{request:.40}");
            assert!(passed.len() < HEAD_BYTES_MAX + 40 && passed.ends_with("\r\n\r\n"));
            assert_eq!(rest.query, "");
        }
        let request = format!("GET /?q={} HTTP/1.1\r\n\r\n", &long[..200_000]);
        let mut open: Vec<HeadRest> = Vec::new();
        let refused = loop {
            let (_, rest) = adapted(&request, &memory);
            if rest.refusal.is_some() {
                break rest;
            }
            open.push(rest);
        };
        assert_eq!(refused.refusal, Some(HeadRefusal::Busy));
        assert!(open.len() >= 64, "{} heads", open.len());
        drop((open, refused));
        assert_eq!(adapted(&request, &memory).1.refusal, None);
    }
}
