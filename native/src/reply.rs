//! Sends the responses of the engine, either as a whole or piece by piece.

use std::borrow::Cow;
use std::convert::Infallible;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{StatusCode, Version, header};
use tidemark_server::drive::ResponseBody;
use tidemark_server::grpc_web::Code;
use tidemark_server::headers;
use tidemark_server::http::{RequestHead, Response};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::engine::Shared;
use crate::grpc;
use crate::limits::{CANCEL_CHECK, HEAD_BYTES_MAX, PACKED_BYTES_MIN};
use crate::request_line::HeadRefusal;
use crate::unsent::Client;

/// The format in which the client expects its response.
#[derive(Clone, Debug)]
pub enum Form {
    /// The engine's response, which is compressed if the client accepts compression. The text is
    /// the client's list of encodings.
    Http(String),
    /// gRPC. The text is the response's content type.
    Grpc(String),
}

impl Form {
    /// Returns the format for a request. Converts the head of a gRPC request to a gRPC-Web head.
    pub fn of(head: &mut RequestHead) -> Self {
        match grpc::adopt(head) {
            Some(content_type) => Self::Grpc(content_type),
            None => Self::Http(head.header("accept-encoding").unwrap_or_default().to_owned()),
        }
    }
}

/// A response whose body can be sent while the engine produces it.
pub type HttpResponse = hyper::Response<Outgoing>;

/// The body of a response, as hyper reads it.
#[derive(Debug)]
pub enum Outgoing {
    /// A complete body, or `None` after the body was sent.
    Whole(Option<Bytes>),
    /// The pieces of a body of unknown length.
    Pieces(mpsc::Receiver<Result<Frame<Bytes>, TruncatedResponse>>),
}

/// Removes the body of a response to HEAD. hyper removes the body only for HTTP/1.
pub fn without_body(mut response: HttpResponse) -> HttpResponse {
    if let Some(bytes) = response.body().size_hint().exact().filter(|bytes| *bytes > 0) {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    }
    *response.body_mut() = Outgoing::Whole(None);
    response
}

/// The response was truncated.
#[derive(Debug, thiserror::Error)]
#[error("the response ended early")]
pub struct TruncatedResponse;

impl Outgoing {
    pub fn complete(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Some(bytes.into()).filter(|bytes| !bytes.is_empty()))
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = TruncatedResponse;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TruncatedResponse>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Pieces(pieces) => pieces.poll_recv(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Pieces(_) => SizeHint::default(),
        }
    }
}

/// Returns a complete response. `count` counts the bytes of an HTTP body until they are sent. A
/// complete gRPC response has no body.
pub fn complete(
    response: Response,
    form: Form,
    count: impl FnOnce(Vec<u8>) -> Bytes,
) -> HttpResponse {
    match form {
        Form::Grpc(content_type) => grpc::complete(&response, &content_type),
        Form::Http(accepts) => {
            let is_compressed =
                response.body.len() >= PACKED_BYTES_MIN && is_compressible(&response, &accepts);
            let mut outgoing = head(&response, is_compressed);
            let body =
                if is_compressed { Packer::new().last(&response.body) } else { response.body };
            *outgoing.body_mut() = Outgoing::complete(count(body));
            outgoing
        }
    }
}

/// Returns a response whose body follows piece by piece, and the sender of these pieces.
pub fn stream(
    response: &Response,
    form: Form,
    shared: Arc<Shared>,
    client: Arc<Client>,
) -> (HttpResponse, Pieces) {
    let (to, pieces) = mpsc::channel(1);
    let (mut outgoing, coding) = match form {
        Form::Grpc(content_type) => {
            (grpc::head(response, &content_type), Coding::Grpc(grpc::Frames::default()))
        }
        Form::Http(accepts) if is_compressible(response, &accepts) => {
            (head(response, true), Coding::Gzip(Packer::new()))
        }
        Form::Http(_) => (head(response, false), Coding::Plain),
    };
    *outgoing.body_mut() = Outgoing::Pieces(pieces);
    let is_between_messages = matches!(coding, Coding::Grpc(_));
    (outgoing, Pieces { to, coding, is_between_messages, shared, client })
}

/// Whether to compress a response. The compressed types are the types that `edge/` lets the runtime
/// compress, JSON and plain text. On Cloudflare, JSON and plain text are compressed in front of the
/// Worker.
fn is_compressible(response: &Response, accepts: &str) -> bool {
    let is_text =
        |of_type: &str| of_type == "application/json" || of_type.starts_with("text/plain");
    let of_type = response.headers.iter().find(|(name, _)| *name == "Content-Type");
    of_type.is_some_and(|(_, of_type)| headers::is_compressible(of_type) || is_text(of_type))
        && headers::accepts_gzip(accepts)
}

pub fn head(response: &Response, is_compressed: bool) -> HttpResponse {
    let mut outgoing = HttpResponse::new(Outgoing::Whole(None));
    *outgoing.status_mut() = status(response.status);
    outgoing.headers_mut().reserve(response.headers.len());
    extend(outgoing.headers_mut(), &response.headers);
    if is_compressed {
        let headers = outgoing.headers_mut();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    outgoing
}

fn status(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Adds headers. Omits a header that HTTP does not permit. The value of an invalid header comes
/// from a client.
pub fn extend(to: &mut HeaderMap, headers: &[(&str, Cow<'static, str>)]) {
    for (name, text) in headers {
        let value = match text {
            Cow::Borrowed(text) => {
                HeaderValue::from_maybe_shared(Bytes::from_static(text.as_bytes()))
            }
            Cow::Owned(text) => HeaderValue::from_str(text),
        };
        let spaced = |_| HeaderValue::from_bytes(text.replace(['\r', '\n'], " ").as_bytes());
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(*name), value.or_else(spaced)) {
            to.append(name, value);
        }
    }
}

struct Packer(GzEncoder<Vec<u8>>);

impl Packer {
    fn new() -> Self {
        Self(GzEncoder::new(Vec::new(), Compression::fast()))
    }

    /// Returns the compressed bytes of a piece. The client can decode all bytes of the piece
    /// immediately.
    fn piece(&mut self, bytes: &[u8]) -> Vec<u8> {
        // Writes to memory do not fail.
        let _ = self.0.write_all(bytes).and_then(|()| self.0.flush());
        std::mem::take(self.0.get_mut())
    }

    fn last(mut self, bytes: &[u8]) -> Vec<u8> {
        let _ = self.0.write_all(bytes);
        self.0.finish().unwrap_or_default()
    }
}

enum Coding {
    Plain,
    Gzip(Packer),
    Grpc(grpc::Frames),
}

/// The sender of the pieces of a streamed response.
pub struct Pieces {
    to: mpsc::Sender<Result<Frame<Bytes>, TruncatedResponse>>,
    coding: Coding,
    /// Whether the body is gRPC and all sent messages are complete.
    is_between_messages: bool,
    shared: Arc<Shared>,
    client: Arc<Client>,
}

impl Pieces {
    /// Returns a future that waits until the client has disconnected.
    pub fn disconnected(&self) -> impl Future<Output = ()> + use<> {
        let to = self.to.clone();
        async move { to.closed().await }
    }
}

impl ResponseBody for Pieces {
    type Error = TruncatedResponse;

    async fn write(
        &mut self,
        bytes: Vec<u8>,
        mut is_stopped: impl FnMut() -> bool,
    ) -> Result<(), TruncatedResponse> {
        let bytes = match &mut self.coding {
            Coding::Plain => bytes,
            Coding::Gzip(packer) => packer.piece(&bytes),
            Coding::Grpc(frames) => {
                let Ok(messages) = frames.messages(&bytes, grpc::any);
                messages
            }
        };
        if bytes.is_empty() {
            return Ok(());
        }
        let permit = loop {
            match timeout(CANCEL_CHECK, self.to.reserve()).await {
                Ok(permit) => break permit.map_err(|_| TruncatedResponse)?,
                Err(_) if is_stopped() => return Ok(()),
                Err(_) => {}
            }
        };
        permit.send(Ok(Frame::data(self.shared.clients.count(&self.client, bytes))));
        self.is_between_messages =
            matches!(&self.coding, Coding::Grpc(frames) if frames.is_between());
        Ok(())
    }

    async fn end(&mut self) -> Result<(), TruncatedResponse> {
        let coding = std::mem::replace(&mut self.coding, Coding::Plain);
        let last = match coding {
            Coding::Plain => return Ok(()),
            Coding::Gzip(packer) => Frame::data(packer.last(&[]).into()),
            Coding::Grpc(frames) => Frame::trailers(frames.trailers()),
        };
        self.to.send(Ok(last)).await.map_err(|_| TruncatedResponse)
    }

    /// Ends an incomplete body. A gRPC body ends with trailers that contain the reason. Any other
    /// body is truncated with an error, because closing the channel would make the body look
    /// complete. Another task sends this end, because the channel may be full.
    async fn abort(&mut self, code: Code, reason: &'static str) {
        let end = match self.is_between_messages {
            true => Ok(Frame::trailers(grpc::status(code as u8, reason.as_bytes()))),
            false => Err(TruncatedResponse),
        };
        let to = self.to.clone();
        tokio::task::spawn_local(async move {
            let _ = to.send(end).await;
        });
    }
}

/// Returns a response that this host creates.
pub fn text(status: StatusCode, text: &'static str) -> Result<HttpResponse, Infallible> {
    let mut outgoing = HttpResponse::new(Outgoing::complete(text));
    *outgoing.status_mut() = status;
    let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
    outgoing.headers_mut().insert(header::CONTENT_TYPE, content_type);
    Ok(outgoing)
}

/// Returns the response to a request with a head that the server refuses.
pub fn head_refused(refusal: HeadRefusal, version: Version) -> HttpResponse {
    const REMEDY: &str =
        "send the query in the body of a POST request (in Grafana: httpMode: POST)";
    let (status, error) = match refusal {
        HeadRefusal::LongUrl => {
            (StatusCode::URI_TOO_LONG, format!("the URL has more than {HEAD_BYTES_MAX} bytes"))
        }
        HeadRefusal::LongHead => (
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            format!("the request's URL and headers have more than {HEAD_BYTES_MAX} bytes"),
        ),
        HeadRefusal::Busy => (
            StatusCode::SERVICE_UNAVAILABLE,
            "too many requests with long URLs are running".to_owned(),
        ),
    };
    let body = serde_json::json!({ "error": format!("{error}: {REMEDY}") });
    let mut outgoing = HttpResponse::new(Outgoing::complete(format!("{body}\n")));
    *outgoing.status_mut() = status;
    let headers = outgoing.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if refusal == HeadRefusal::Busy {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    // The server has discarded the headers, so it does not know where the request ends.
    if version != Version::HTTP_2 {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    outgoing
}
