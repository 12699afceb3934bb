//! Serves the connection of one client, with TLS, HTTP/1.1 and HTTP/2.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, pending};
use std::net::{SocketAddr, TcpStream};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tidemark_server::http::RequestHead;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::task::{spawn_local, unconstrained};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use crate::connection_permits::ConnectionPermit;
use crate::console;
use crate::engine::{Busy, EngineThread};
use crate::limits::{
    CLOSE_WAIT_MAX, FIRST_CLOSE_WAIT_MAX, FIRST_HEAD_WAIT_MAX, HANDSHAKE_MAX, HEAD_BYTES_MAX,
    HEAD_WAIT_MAX, RECEIVE_WINDOW_BYTES, REQUEST_LINE_BYTES, STREAMS_PER_CONNECTION_MAX,
};
use crate::reply::{self, Form, HttpResponse};
use crate::request_line::{AdaptedHeads, HeadRefusal, HeadRest, NewestRequest};
use crate::request_task;
use crate::unsent::Client;

/// The properties that the listener assigns to a connection.
#[derive(Debug)]
pub struct ConnectionInfo {
    /// The address of the client.
    pub peer: SocketAddr,
    /// The permit that counts the connection.
    pub permit: ConnectionPermit,
    /// The certificate and the key, if the connection uses TLS.
    pub tls: Option<Tls>,
}

#[derive(Clone)]
pub struct Tls(pub Arc<tokio_rustls::rustls::ServerConfig>);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls(..)")
    }
}

/// An executor that runs hyper's HTTP/2 tasks on this thread.
#[derive(Clone, Copy, Debug)]
struct LocalExecutor;

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        spawn_local(async move { drop(future.await) });
    }
}

/// Serves a connection until it closes.
pub async fn serve(engine: Rc<EngineThread>, stream: TcpStream, info: ConnectionInfo) {
    let ConnectionInfo { peer, tls, permit: _permit } = info;
    let _busy = Busy::new(&engine.shared);
    let Ok(stream) = tokio::net::TcpStream::from_std(stream) else { return };
    match tls {
        None => serve_http(engine, stream, peer).await,
        Some(Tls(settings)) => {
            let handshake = TlsAcceptor::from(settings).accept(stream);
            // A failed handshake, for example with a client that does not use TLS, is not logged.
            if let Ok(Ok(stream)) = timeout(HANDSHAKE_MAX, handshake).await {
                serve_http(engine, stream, peer).await;
            }
        }
    }
}

async fn serve_http(
    engine: Rc<EngineThread>,
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    peer: SocketAddr,
) {
    let mut is_ending = engine.shared.is_ending.clone();
    let last_request = Rc::new(Cell::new(None));
    let newest = NewestRequest::default();
    let stream = AdaptedHeads::new(stream, newest.clone(), Arc::clone(&engine.shared.heads));
    let client = engine.shared.clients.open();
    let service = {
        let (last_request, client) = (Rc::clone(&last_request), Arc::clone(&client));
        service_fn(move |request: Request<Incoming>| {
            last_request.set(Some((request.version(), Instant::now())));
            let bytes = request.body().size_hint().exact();
            let rest = newest.record(bytes.filter(|_| request.version() != Version::HTTP_2));
            respond(Rc::clone(&engine), request, rest, peer, Arc::clone(&client))
        })
    };
    // The connection itself has two references to `client`. Each running request and each unsent
    // part of a response has another one.
    let is_idle = || Arc::strong_count(&client) <= 2;
    let idle_timeout = idle_timeout(&last_request, is_idle, FIRST_HEAD_WAIT_MAX, HEAD_WAIT_MAX);
    let mut builder = Builder::new(LocalExecutor);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT_MAX)
        .title_case_headers(true)
        // An escaped request line is longer than the line that the server counts.
        .max_buf_size(HEAD_BYTES_MAX + REQUEST_LINE_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEAD_WAIT_MAX)
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .initial_stream_window_size(RECEIVE_WINDOW_BYTES)
        .initial_connection_window_size(RECEIVE_WINDOW_BYTES)
        // The server itself refuses a head above `HEAD_BYTES_MAX`, because h2 sends no body.
        .max_header_list_size(2 * HEAD_BYTES_MAX as u32);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    // The connection is polled before the timers, so that a request that has already arrived
    // counts. The timers are unconstrained, so that they also run if the connection uses up tokio's
    // budget in each turn.
    tokio::select! {
        biased;
        _ = connection.as_mut() => return,
        () = client.closing.notified() => return,
        () = unconstrained(idle_timeout) => {}
        _ = unconstrained(is_ending.wait_for(|is_ending| *is_ending)) => {}
    }
    connection.as_mut().graceful_shutdown();
    let idle_max = match last_request.get() {
        None => FIRST_CLOSE_WAIT_MAX,
        Some(_) => CLOSE_WAIT_MAX,
    };
    tokio::select! {
        biased;
        _ = connection => {}
        () = client.closing.notified() => {}
        () = unconstrained(idle(is_idle, idle_max)) => {}
    }
}

/// Returns when no request has run for `idle_max`.
async fn idle(is_idle: impl Fn() -> bool, idle_max: Duration) {
    let mut active = Instant::now();
    while active.elapsed() < idle_max {
        sleep(idle_max / 10).await;
        if !is_idle() {
            active = Instant::now();
        }
    }
}

/// Returns when the connection should close: no first request within `first_max`, or, with HTTP/2,
/// no request started within `further_max` and no request running. Never returns for HTTP/1.1 after
/// its first request, because hyper limits that time.
async fn idle_timeout(
    last_request: &Cell<Option<(Version, Instant)>>,
    is_idle: impl Fn() -> bool,
    first_max: Duration,
    further_max: Duration,
) {
    let mut end = Instant::now() + first_max;
    loop {
        sleep_until(end).await;
        let now = Instant::now();
        end = match last_request.get() {
            None => return,
            Some((Version::HTTP_2, at)) if now < at + further_max => at + further_max,
            Some((Version::HTTP_2, _)) if is_idle() => return,
            Some((Version::HTTP_2, _)) => now + further_max,
            Some(_) => pending().await,
        };
    }
}

async fn respond(
    engine: Rc<EngineThread>,
    request: Request<Incoming>,
    mut rest: HeadRest,
    peer: SocketAddr,
    client: Arc<Client>,
) -> Result<HttpResponse, Infallible> {
    let is_head = request.method() == Method::HEAD;
    if request.version() == Version::HTTP_2 {
        let head_bytes = head_bytes(&request);
        rest.refusal = if head_bytes > HEAD_BYTES_MAX {
            Some(HeadRefusal::LongHead)
        } else {
            let fits = engine.shared.heads.grow(&mut rest.reservation, head_bytes);
            (!fits).then_some(HeadRefusal::Busy)
        };
    }
    if let Some(refusal) = rest.refusal {
        return Ok(reply::head_refused(refusal, request.version()));
    }
    if let Some(file) = console::response_of(&request, &client) {
        return Ok(file);
    }
    let mut head = head(&request, &rest.query, peer);
    let form = Form::of(&mut head);
    if matches!(form, Form::Grpc(_)) && request.version() != Version::HTTP_2 {
        return reply::text(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "gRPC needs HTTP/2\n");
    }
    let (to, response) = oneshot::channel();
    // hyper drops this function when the client disconnects. The request runs in a separate task,
    // which still ends in an orderly way.
    spawn_local(request_task::run(engine, request, head, form, client, to));
    let response = response.await;
    drop(rest.reservation);
    match response {
        Ok(response) if is_head => Ok(reply::without_body(response)),
        Ok(response) => Ok(response),
        Err(_) => reply::text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the server could not respond to the request\n",
        ),
    }
}

/// Returns the head of a request for the engine. Joins repeated headers as the Workers runtime
/// does. The client's address comes from the connection, because a client could send any header.
///
/// `query_end` is the end of a long query, which did not pass through hyper.
fn head(request: &Request<Incoming>, query_end: &str, peer: SocketAddr) -> RequestHead {
    const ADDRESS: &str = "cf-connecting-ip";
    let mut headers: Vec<(String, String)> = Vec::with_capacity(request.headers().len() + 1);
    for name in request.headers().keys().filter(|name| *name != ADDRESS) {
        let values = request.headers().get_all(name).iter();
        let mut values = values.map(|value| String::from_utf8_lossy(value.as_bytes()));
        let mut joined = values.next().unwrap_or_default().into_owned();
        values.for_each(|value| joined.extend([", ", &value]));
        headers.push((name.as_str().to_owned(), joined));
    }
    // HTTP/2 requests have `:authority` instead of `Host`.
    if !request.headers().contains_key(hyper::header::HOST)
        && let Some(authority) = request.uri().authority()
    {
        headers.push(("host".to_owned(), authority.as_str().to_owned()));
    }
    headers.push((ADDRESS.to_owned(), peer.ip().to_canonical().to_string()));
    RequestHead {
        method: request.method().as_str().to_owned(),
        path: request.uri().path().to_owned(),
        query: [request.uri().query().unwrap_or_default(), query_end].concat(),
        headers,
    }
}

/// Returns the size of the head of an HTTP/2 request, in bytes.
fn head_bytes(request: &Request<Incoming>) -> usize {
    let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    let headers = request.headers().iter();
    path + headers.map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn idle_http2_connections_are_closed() {
        let [short, long] = [1, 3_600_000].map(Duration::from_millis);
        let is_closed = async |last: Option<Version>, is_idle: bool, first_max, further_max| {
            let last_request = Cell::new(last.map(|version| (version, Instant::now())));
            let idle_timeout = idle_timeout(&last_request, || is_idle, first_max, further_max);
            timeout(Duration::from_millis(200), idle_timeout).await.is_ok()
        };
        assert!(is_closed(None, true, short, long).await);
        assert!(!is_closed(None, true, long, short).await);
        assert!(is_closed(Some(Version::HTTP_2), true, short, short).await);
        assert!(!is_closed(Some(Version::HTTP_2), true, short, long).await);
        assert!(!is_closed(Some(Version::HTTP_2), false, short, short).await);
        assert!(!is_closed(Some(Version::HTTP_11), true, short, short).await);
    }

    #[tokio::test]
    async fn closing_connections_end_after_their_requests() {
        let is_over = async |is_idle: bool, idle_max| {
            let idle = idle(|| is_idle, Duration::from_millis(idle_max));
            timeout(Duration::from_millis(200), idle).await.is_ok()
        };
        assert!(is_over(true, 10).await);
        assert!(!is_over(false, 10).await);
        assert!(!is_over(true, 3_600_000).await);
    }
}
