//! One call: a stream of gRPC over HTTP/2, and its counterpart in gRPC-Web.

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;
use tidemark_server::grpc_web::Code;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::convert::{self, Status, text};
use super::limits::Limits;
use super::upstream::{RequestBody, Sender};
use super::{Proxy, Stop};
use crate::commands::http_client::message_in;
use crate::grpc::{self, Frames, GRPC, GRPC_WEB};
use crate::log;

/// The maximum number of bytes that are read from the body of an HTTP error.
const ERROR_BODY_BYTES_MAX: usize = 16 << 10;

/// The part of the request that was sent to the server.
#[derive(Default)]
struct Sent {
    bytes: AtomicUsize,
    is_complete: AtomicBool,
}

impl Sent {
    fn is_complete(&self) -> bool {
        self.is_complete.load(Ordering::Relaxed)
    }
}

/// Serves one call, and logs the result.
pub async fn run(proxy: Arc<Proxy>, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
    let begun = Instant::now();
    let (head, body) = request.into_parts();
    let mut reply = Reply { respond, messages: None, content_type: GRPC.to_owned(), bytes: 0 };
    let format = match grpc::format_of(text(&head.headers, "content-type"), GRPC) {
        _ if head.method != Method::POST => return reply.refuse(StatusCode::METHOD_NOT_ALLOWED),
        None => return reply.refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE),
        Some(format) => format.split(';').next().unwrap_or_default().trim().to_owned(),
    };
    reply.content_type += &format;
    let sent = Sent::default();
    let mut upstream = None;
    let outcome = tokio::select! {
        biased;
        status = interruption(&proxy, &head.headers) => Err(status),
        outcome = exchange(&proxy, &head, &format, body, &sent, &mut reply, &mut upstream) => outcome,
    };
    let mut is_damaged = false;
    if let (Err(status), Some(upstream)) = (&outcome, &mut upstream)
        && status.code == Code::DeadlineExceeded
    {
        // Forwards the rest of a message that has begun. Without the rest, a client whose clock is
        // slightly behind would report a broken message instead of an exceeded deadline.
        upstream.frames.is_last_message = true;
        let rest = timeout(proxy.limits.linger, upstream.pass(&proxy.limits, &sent, &mut reply));
        is_damaged = !matches!(rest.await, Ok(Ok(())));
    }
    let is_complete = outcome.is_ok() && sent.is_complete();
    let trailers = outcome.unwrap_or_else(Status::trailers);
    let status = text(&trailers, "grpc-status").parse().unwrap_or_default();
    let answer_bytes = reply.bytes;
    // If the trailers are not sent, hyper resets the stream, so the client detects the incomplete
    // response.
    if !is_damaged {
        reply.end(trailers);
    }
    drop(reply);
    if (proxy.is_logged)(status) {
        let more = [
            ("path", json!(head.uri.path())),
            ("grpc_status", json!(status)),
            ("ms", json!(begun.elapsed().as_millis() as u64)),
            ("request_bytes", json!(sent.bytes.into_inner())),
            ("answer_bytes", json!(answer_bytes)),
        ];
        log::event("call", &more);
    }
    if let Some(mut upstream) = upstream.filter(|_| is_complete) {
        // The connection is used again only if the response ends.
        let end = async {
            while let Some(Ok(_)) = upstream.body.frame().await {}
            proxy.upstream.keep(upstream.sender).await;
        };
        let _ = timeout(proxy.limits.linger, end).await;
    }
}

/// Waits until the deadline, or until running calls must end.
async fn interruption(proxy: &Proxy, headers: &HeaderMap) -> Status {
    let deadline = async {
        match headers.get("grpc-timeout").map(convert::timeout_of) {
            None => pending().await,
            Some(Err(status)) => status,
            Some(Ok(limit)) => {
                sleep(limit).await;
                let message = format!("the deadline of {} ms has passed", limit.as_millis());
                Status::new(Code::DeadlineExceeded, message)
            }
        }
    };
    let mut stop = proxy.stop.clone();
    tokio::select! {
        status = deadline => status,
        _ = stop.wait_for(|stop| *stop == Stop::Now) => {
            Status::new(Code::Unavailable, "the proxy is stopping: retry later")
        }
    }
}

/// Sends the request, and the messages of the response. Returns the trailers.
async fn exchange(
    proxy: &Proxy,
    head: &Parts,
    format: &str,
    body: RecvStream,
    sent: &Sent,
    reply: &mut Reply,
    upstream: &mut Option<UpstreamResponse>,
) -> Result<HeaderMap, Status> {
    let limits = &proxy.limits;
    let _permit = proxy.calls.try_acquire().map_err(|_| {
        let max = limits.calls_max;
        let message = format!("callsMax ({max}) calls are running: retry later");
        Status::new(Code::ResourceExhausted, message)
    })?;
    convert::must_fit("the request", &head.headers, limits)?;
    let path = head.uri.path_and_query().map_or("", |path| path.as_str());
    let headers = convert::request_headers(path, &head.headers, format)?;
    let (to, pieces) = mpsc::channel(1);
    let receiving = async {
        let response = proxy.upstream.send(limits, path, &headers, RequestBody::new(pieces));
        let response = unless_silent(limits, sent, response);
        let response = reply.unless_cancelled(response).await??;
        let (sender, response) = response.map_err(convert::no_response)?;
        receive(limits, sent, sender, response, reply, upstream).await
    };
    tokio::select! {
        Err(status) = forward(body, to, limits, sent) => Err(status),
        outcome = receiving => outcome,
    }
}

/// Sends the messages of the request to the server.
async fn forward(
    mut body: RecvStream,
    to: mpsc::Sender<Option<Bytes>>,
    limits: &Limits,
    sent: &Sent,
) -> Result<(), Status> {
    let mut frames = Frames::default();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(|_| cancelled())?;
        let messages = frames.messages(&piece, |kind, length| {
            convert::must_pass("the request", false, limits, kind, length)
        })?;
        sent.bytes.fetch_add(messages.len(), Ordering::Relaxed);
        if to.send(Some(messages.into())).await.is_err() {
            // The response of the server contains the reason.
            return pending().await;
        }
        let _ = body.flow_control().release_capacity(piece.len());
    }
    if !frames.is_between() {
        return Err(Status::new(Code::InvalidArgument, "the request ends within a message"));
    }
    sent.is_complete.store(to.send(None).await.is_ok(), Ordering::Relaxed);
    Ok(())
}

/// Returns the result of `work`, or an error if the server sends nothing for too long after it has
/// received the whole request.
async fn unless_silent<T>(
    limits: &Limits,
    sent: &Sent,
    work: impl Future<Output = T>,
) -> Result<T, Status> {
    let limit = limits.answer;
    let mut work = pin!(work);
    loop {
        let was_complete = sent.is_complete();
        match timeout(limit, &mut work).await {
            Ok(result) => return Ok(result),
            Err(_) if was_complete => {
                let ms = limit.as_millis();
                let message = format!("the server sent nothing for {ms} ms (answerMs)");
                return Err(Status::new(Code::Unavailable, message));
            }
            Err(_) => {}
        }
    }
}

/// Sends the messages of the response to the client. Returns the trailers.
async fn receive(
    limits: &Limits,
    sent: &Sent,
    sender: Sender,
    response: Response<Incoming>,
    reply: &mut Reply,
    upstream: &mut Option<UpstreamResponse>,
) -> Result<HeaderMap, Status> {
    let (head, mut body) = response.into_parts();
    convert::must_fit("the response", &head.headers, limits)?;
    let mut metadata = convert::metadata_of(&head.headers);
    if let Some(grpc_status) = convert::status_in(&head.headers) {
        let is_ok = head.status == StatusCode::OK && text(&grpc_status, "grpc-status") == "0";
        let rest = unless_silent(limits, sent, body.frame());
        if is_ok && reply.unless_cancelled(rest).await??.is_some() {
            let message = "the response has its status in the headers and also a body";
            return Err(Status::new(Code::Internal, message));
        }
        metadata.extend(grpc_status);
        return Ok(metadata);
    }
    if head.status != StatusCode::OK {
        let start = unless_silent(limits, sent, start_of(&mut body));
        let mut message = message_in(&reply.unless_cancelled(start).await??);
        if message.is_empty() {
            message = format!("the server returned {}", head.status.as_u16());
        }
        return Err(Status {
            code: convert::code_of(head.status),
            message,
            metadata: Box::new(metadata),
        });
    }
    let content_type = text(&head.headers, "content-type");
    let encoding = text(&head.headers, "content-encoding");
    if grpc::format_of(content_type, GRPC_WEB).is_none() || !matches!(encoding, "" | "identity") {
        let message = format!(
            "the server returned 200 with {}{}{encoding} instead of gRPC-Web",
            if content_type.is_empty() { "no type" } else { content_type },
            if encoding.is_empty() { "" } else { ", " },
        );
        return Err(Status { code: Code::Unknown, message, metadata: Box::new(metadata) });
    }
    reply.begin(metadata)?;
    let upstream = upstream.insert(UpstreamResponse {
        sender,
        body,
        frames: Frames::default(),
        unsent: Bytes::new(),
    });
    upstream.pass(limits, sent, reply).await?;
    convert::trailers_of(&std::mem::take(&mut upstream.frames).trailers())
}

/// Returns the start of the body of an error. The body may break off.
async fn start_of(body: &mut Incoming) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < ERROR_BODY_BYTES_MAX
        && let Some(Ok(frame)) = body.frame().await
    {
        bytes.extend_from_slice(frame.data_ref().map_or(&[][..], |piece| piece));
    }
    bytes.truncate(ERROR_BODY_BYTES_MAX);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The response of the server.
struct UpstreamResponse {
    sender: Sender,
    body: Incoming,
    frames: Frames,
    /// The received part of the messages that was not sent to the client.
    unsent: Bytes,
}

impl UpstreamResponse {
    /// Sends messages until the trailers, or the last message, are complete.
    async fn pass(
        &mut self,
        limits: &Limits,
        sent: &Sent,
        reply: &mut Reply,
    ) -> Result<(), Status> {
        loop {
            reply.send(&mut self.unsent).await?;
            if self.frames.has_excess {
                let message = "the response continues after its trailers";
                return Err(Status::new(Code::Internal, message));
            }
            if self.frames.is_over() {
                return Ok(());
            }
            let frame = unless_silent(limits, sent, self.body.frame());
            let Some(Ok(frame)) = reply.unless_cancelled(frame).await?? else {
                let place =
                    if self.frames.is_between() { "before its trailers" } else { "within a frame" };
                let message = format!("the response was truncated {place}");
                return Err(Status::new(Code::DataLoss, message));
            };
            if let Some(piece) = frame.data_ref() {
                let messages = self.frames.messages(piece, |kind, length| {
                    convert::must_pass("the response", true, limits, kind, length)
                })?;
                self.unsent = messages.into();
            }
        }
    }
}

/// The response to the client.
struct Reply {
    respond: SendResponse<Bytes>,
    content_type: String,
    /// The stream of the messages, after the head was sent.
    messages: Option<SendStream<Bytes>>,
    bytes: usize,
}

impl Reply {
    fn refuse(mut self, status: StatusCode) {
        let mut response = Response::new(());
        *response.status_mut() = status;
        let _ = self.respond.send_response(response, true);
    }

    fn head(&self, headers: HeaderMap) -> Response<()> {
        let mut response = Response::new(());
        *response.headers_mut() = headers;
        if let Ok(content_type) = HeaderValue::from_str(&self.content_type) {
            response.headers_mut().insert("content-type", content_type);
        }
        response
    }

    fn begin(&mut self, metadata: HeaderMap) -> Result<(), Status> {
        let messages = self.respond.send_response(self.head(metadata), false);
        self.messages = Some(messages.map_err(|_| cancelled())?);
        Ok(())
    }

    /// Sends `bytes` as the client's window permits, and removes the sent part.
    async fn send(&mut self, bytes: &mut Bytes) -> Result<(), Status> {
        let Some(messages) = &mut self.messages else { return Ok(()) };
        while !bytes.is_empty() {
            messages.reserve_capacity(bytes.len());
            while messages.capacity() == 0 {
                let room = poll_fn(|context| messages.poll_capacity(context)).await;
                room.and_then(Result::ok).ok_or_else(cancelled)?;
            }
            let part = bytes.split_to(messages.capacity().min(bytes.len()));
            self.bytes += part.len();
            messages.send_data(part, false).map_err(|_| cancelled())?;
        }
        Ok(())
    }

    /// Returns the result of `work`, or an error if the client cancels the call.
    async fn unless_cancelled<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Status> {
        let reset = poll_fn(|context| match &mut self.messages {
            Some(messages) => messages.poll_reset(context),
            None => self.respond.poll_reset(context),
        });
        tokio::select! {
            biased;
            result = work => Ok(result),
            _ = reset => Err(cancelled()),
        }
    }

    /// Sends the trailers. If no message was sent, the head contains the trailers.
    fn end(&mut self, trailers: HeaderMap) {
        // An error means that the client has disconnected.
        let _ = match &mut self.messages {
            Some(messages) => messages.send_trailers(trailers),
            None => self.respond.send_response(self.head(trailers), true).map(|_| ()),
        };
    }
}

/// Returns the status for a client that has disconnected. The status is only logged.
fn cancelled() -> Status {
    Status::new(Code::Cancelled, "the client cancelled the call")
}
