//! Sends requests to the server. Plain connections use HTTP/1.1. With TLS, the server chooses
//! HTTP/1.1 or HTTP/2.

use std::error::Error;
use std::future::{pending, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::header::{HOST, HeaderMap, HeaderValue};
use hyper::http::uri::Scheme;
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::limits::{Limits, STREAM_WINDOW_BYTES};
use crate::Failure;
use crate::commands::http_client::trusted;
use crate::reply::TruncatedResponse;

/// The reason why the server does not respond.
pub type Reason = Box<dyn Error + Send + Sync>;

/// The body of a request. `None` marks its end. If the channel closes before, the request is
/// aborted, so that the server does not consider the request complete.
pub struct RequestBody {
    pieces: mpsc::Receiver<Option<Bytes>>,
    /// Whether the connection has read from the body. The connection first sends the headers.
    is_read: Arc<Notify>,
}

impl RequestBody {
    pub fn new(pieces: mpsc::Receiver<Option<Bytes>>) -> Self {
        Self { pieces, is_read: Arc::default() }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = TruncatedResponse;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TruncatedResponse>>> {
        self.is_read.notify_one();
        self.pieces.poll_recv(context).map(|piece| match piece {
            Some(piece) => piece.map(|piece| Ok(Frame::data(piece))),
            None => Some(Err(TruncatedResponse)),
        })
    }
}

/// A connection for one request.
pub enum Sender {
    Http1(http1::SendRequest<RequestBody>),
    Http2(Session),
}

/// An HTTP/2 connection.
#[derive(Clone)]
pub struct Session {
    sender: http2::SendRequest<RequestBody>,
    /// The maximum number of streams that the server permits. The value has one reference for each
    /// running call, and two for the connection.
    streams_max: Arc<AtomicUsize>,
}

impl Session {
    fn calls(&self) -> usize {
        Arc::strong_count(&self.streams_max).saturating_sub(2)
    }
}

impl Sender {
    async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        match self {
            Self::Http1(sender) => sender.try_send_request(request).await,
            Self::Http2(session) => session.sender.try_send_request(request).await,
        }
    }
}

pub struct Upstream {
    to: Uri,
    tls: Option<TlsConnector>,
    is_http1: AtomicBool,
    sessions: Mutex<Vec<Session>>,
    idle: Mutex<Vec<(http1::SendRequest<RequestBody>, Instant)>>,
}

impl Upstream {
    /// # Errors
    /// Returns an error if an https address needs certificates that this machine does not have.
    pub fn new(to: Uri) -> Result<Self, Failure> {
        let mut roots = RootCertStore::empty();
        let is_https = to.scheme() == Some(&Scheme::HTTPS);
        if is_https {
            roots.add_parsable_certificates(trusted()?);
        }
        let tls = is_https.then(|| {
            let config = ClientConfig::builder().with_root_certificates(roots);
            let mut config = config.with_no_client_auth();
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            TlsConnector::from(Arc::new(config))
        });
        let is_http1 = AtomicBool::new(tls.is_none());
        Ok(Self { to, tls, is_http1, sessions: Mutex::default(), idle: Mutex::default() })
    }

    /// Returns a free connection, or a new one.
    async fn sender(&self, limits: &Limits) -> Result<Sender, Reason> {
        let limit = limits.connect;
        let late = |_| format!("no connection within {} ms (connectMs)", limit.as_millis());
        timeout(limit, self.connected(limits)).await.map_err(late)?
    }

    async fn connected(&self, limits: &Limits) -> Result<Sender, Reason> {
        if self.is_http1.load(Ordering::Relaxed) {
            let mut idle = self.idle.lock().await;
            idle.retain(|(sender, since)| {
                sender.is_ready() && since.elapsed() < limits.upstream_idle
            });
            let free = idle.pop();
            drop(idle);
            return match free {
                Some((sender, _)) => Ok(Sender::Http1(sender)),
                None => self.connect(limits).await,
            };
        }
        // Calls that start at the same time wait for one new connection.
        let mut sessions = self.sessions.lock().await;
        if self.is_http1.load(Ordering::Relaxed) {
            drop(sessions);
            return self.connect(limits).await;
        }
        sessions.retain(|session| !session.sender.is_closed());
        let is_full = sessions.len() >= limits.upstream_sessions_max;
        if let Some(best) = sessions.iter().min_by_key(|session| session.calls())
            && (is_full || best.calls() < best.streams_max.load(Ordering::Relaxed))
        {
            return Ok(Sender::Http2(best.clone()));
        }
        let sender = self.connect(limits).await?;
        match &sender {
            Sender::Http1(_) => self.is_http1.store(true, Ordering::Relaxed),
            Sender::Http2(session) => sessions.push(session.clone()),
        }
        Ok(sender)
    }

    async fn connect(&self, limits: &Limits) -> Result<Sender, Reason> {
        let host = self.to.host().unwrap_or_default().trim_matches(['[', ']']);
        let port = if self.tls.is_some() { 443 } else { 80 };
        let addresses = lookup_host((host, self.to.port_u16().unwrap_or(port))).await?;
        let stream = connect_to_any(addresses.collect(), limits.connect).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            return Ok(Sender::Http1(sender));
        };
        let stream = tls.connect(ServerName::try_from(host.to_owned())?, stream).await?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            return Ok(Sender::Http1(sender));
        }
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(limits.ping)
            .keep_alive_timeout(limits.ping_answer)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(limits.connection_window_bytes())
            // Further calls wait until the server has sent its own limit.
            .initial_max_send_streams(1)
            // `convert::must_fit` checks the limit, and returns a gRPC error.
            .max_header_list_size(4 * limits.header_bytes_max as u32)
            .handshake(TokioIo::new(stream))
            .await?;
        let calls_max = limits.calls_per_connection_max;
        let streams_max = Arc::new(AtomicUsize::new(calls_max));
        let session = Session { sender, streams_max: Arc::clone(&streams_max) };
        tokio::spawn(async move {
            let mut connection = pin!(connection);
            poll_fn(|context| {
                let polled = connection.as_mut().poll(context);
                // The value is 1 until the server has sent its limit.
                match connection.current_max_send_streams() {
                    ..=1 => {}
                    max => streams_max.store(max.min(calls_max), Ordering::Relaxed),
                }
                polled
            })
            .await
        });
        Ok(Sender::Http2(session))
    }

    /// Sends a request, and returns the head of its response. If a connection closes before it has
    /// sent the request, uses another connection.
    pub async fn send(
        &self,
        limits: &Limits,
        path: &str,
        headers: &HeaderMap,
        mut body: RequestBody,
    ) -> Result<(Sender, Response<Incoming>), Reason> {
        let limit = limits.connect;
        let is_read = Arc::clone(&body.is_read);
        let mut further_tries = limits.upstream_sessions_max;
        loop {
            let mut sender = self.sender(limits).await?;
            let request = self.request(&sender, path, headers.clone(), body)?;
            let is_late = async {
                if timeout(limit, is_read.notified()).await.is_ok() {
                    pending::<()>().await;
                }
            };
            let sent = tokio::select! {
                biased;
                sent = sender.send(request) => sent,
                () = is_late => {
                    self.forget(&sender).await;
                    let ms = limit.as_millis();
                    return Err(format!("no free stream within {ms} ms (connectMs)").into());
                }
            };
            let mut error = match sent {
                Ok(response) => return Ok((sender, response)),
                Err(error) => error,
            };
            match error.take_message() {
                Some(request) if further_tries > 0 => body = request.into_body(),
                _ => return Err(error.into_error().into()),
            }
            further_tries -= 1;
        }
    }

    /// Sends no further calls to a connection without free streams. The connection keeps requests
    /// that wait for a stream, even if their calls have ended.
    async fn forget(&self, sender: &Sender) {
        if let Sender::Http2(full) = sender {
            let is_other = |one: &Session| !Arc::ptr_eq(&one.streams_max, &full.streams_max);
            self.sessions.lock().await.retain(is_other);
        }
    }

    fn request(
        &self,
        sender: &Sender,
        path: &str,
        headers: HeaderMap,
        body: RequestBody,
    ) -> Result<Request<RequestBody>, Reason> {
        let path = format!("{}{path}", self.to.path().trim_end_matches('/'));
        let authority = self.to.authority().map_or("", |authority| authority.as_str());
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.headers_mut() = headers;
        match sender {
            Sender::Http1(_) => {
                *request.uri_mut() = path.parse()?;
                request.headers_mut().insert(HOST, HeaderValue::from_str(authority)?);
            }
            Sender::Http2(_) => {
                *request.uri_mut() = format!("https://{authority}{path}").parse()?;
            }
        }
        Ok(request)
    }

    /// Keeps the connection of a complete request for the next call.
    pub async fn keep(&self, sender: Sender) {
        if let Sender::Http1(mut sender) = sender
            && sender.ready().await.is_ok()
        {
            self.idle.lock().await.push((sender, Instant::now()));
        }
    }
}

/// Connects to the first address that accepts a connection. Each address gets the same part of
/// `limit`, and one part remains for TLS.
async fn connect_to_any(addresses: Vec<SocketAddr>, limit: Duration) -> Result<TcpStream, Reason> {
    let part = limit / (addresses.len() as u32).saturating_add(1);
    let mut reason: Reason = "the host has no address".into();
    for address in addresses {
        reason = match timeout(part, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => error.into(),
            Err(_) => format!("no connection to {address} within {} ms", part.as_millis()).into(),
        };
    }
    Err(reason)
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    #[tokio::test]
    async fn connection_skips_addresses_without_answer() {
        // A socket with a full queue does not answer.
        let mute = TcpSocket::new_v4().unwrap();
        mute.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let mute = mute.listen(1).unwrap();
        let mute_address = mute.local_addr().unwrap();
        let limit = Duration::from_millis(300);
        let mut queued = Vec::new();
        while let Ok(Ok(stream)) = timeout(limit, TcpStream::connect(mute_address)).await {
            queued.push(stream);
            assert!(queued.len() < 100, "the queue is never full");
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stream = timeout(limit, connect_to_any(vec![mute_address, address], limit)).await;
        assert_eq!(stream.unwrap().unwrap().peer_addr().unwrap(), address);
        let reason = connect_to_any(vec![mute_address], limit).await.unwrap_err().to_string();
        assert_eq!(reason, format!("no connection to {mute_address} within 150 ms"));
        assert!(connect_to_any(Vec::new(), limit).await.is_err());
    }
}
