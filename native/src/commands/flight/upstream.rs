//! Sends requests to the server. Plain connections use HTTP/1.1. With TLS, the server chooses
//! HTTP/1.1 or HTTP/2.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::{HOST, HeaderMap, HeaderValue};
use hyper::http::uri::Scheme;
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::limits::{Limits, STREAM_WINDOW_BYTES};
use crate::Failure;
use crate::reply::TruncatedResponse;

/// The reason why the server does not respond.
pub type Reason = Box<dyn Error + Send + Sync>;

/// The body of a request. `None` marks its end. If the channel closes before, the request is
/// aborted, so that the server does not consider the request complete.
pub struct RequestBody(pub mpsc::Receiver<Option<Bytes>>);

impl Body for RequestBody {
    type Data = Bytes;
    type Error = TruncatedResponse;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TruncatedResponse>>> {
        self.0.poll_recv(context).map(|piece| match piece {
            Some(piece) => piece.map(|piece| Ok(Frame::data(piece))),
            None => Some(Err(TruncatedResponse)),
        })
    }
}

/// A connection for one request.
pub enum Sender {
    Http1(http1::SendRequest<RequestBody>),
    /// The counter has one reference for each running call, and one for the connection.
    Http2(http2::SendRequest<RequestBody>, Arc<()>),
}

pub struct Upstream {
    to: Uri,
    tls: Option<TlsConnector>,
    is_http1: AtomicBool,
    sessions: Mutex<Vec<(http2::SendRequest<RequestBody>, Arc<()>)>>,
    idle: Mutex<Vec<(http1::SendRequest<RequestBody>, Instant)>>,
}

impl Upstream {
    /// # Errors
    /// Returns an error if an https address needs certificates that this machine does not have.
    pub fn new(to: Uri) -> Result<Self, Failure> {
        let mut roots = RootCertStore::empty();
        let is_https = to.scheme() == Some(&Scheme::HTTPS);
        if is_https {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(Failure::of(
                    "This machine has no certificates of authorities: install them (Debian package \
                     ca-certificates), or set SSL_CERT_FILE to a file with certificates.",
                ));
            }
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
    pub async fn sender(&self, limits: &Limits) -> Result<Sender, Reason> {
        let limit = limits.time("connectMs");
        let late = |_| format!("no connection within {} ms (connectMs)", limit.as_millis());
        timeout(limit, self.connected(limits)).await.map_err(late)?
    }

    async fn connected(&self, limits: &Limits) -> Result<Sender, Reason> {
        if self.is_http1.load(Ordering::Relaxed) {
            let mut idle = self.idle.lock().await;
            idle.retain(|(sender, since)| {
                sender.is_ready() && since.elapsed() < limits.time("upstreamIdleMs")
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
        sessions.retain(|(sender, _)| !sender.is_closed());
        let is_full = sessions.len() >= limits.number("upstreamSessionsMax");
        let best = sessions.iter().min_by_key(|(_, calls)| Arc::strong_count(calls));
        if let Some((sender, calls)) = best
            && (is_full || Arc::strong_count(calls) <= limits.number("callsPerConnectionMax"))
        {
            return Ok(Sender::Http2(sender.clone(), Arc::clone(calls)));
        }
        let sender = self.connect(limits).await?;
        match &sender {
            Sender::Http1(_) => self.is_http1.store(true, Ordering::Relaxed),
            Sender::Http2(sender, calls) => sessions.push((sender.clone(), Arc::clone(calls))),
        }
        Ok(sender)
    }

    async fn connect(&self, limits: &Limits) -> Result<Sender, Reason> {
        let host = self.to.host().unwrap_or_default().trim_matches(['[', ']']);
        let port = if self.tls.is_some() { 443 } else { 80 };
        let stream = TcpStream::connect((host, self.to.port_u16().unwrap_or(port))).await?;
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
            .keep_alive_interval(limits.time("pingMs"))
            .keep_alive_timeout(limits.time("pingAnswerMs"))
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(limits.connection_window_bytes())
            // Further calls wait until the server has sent its own limit.
            .initial_max_send_streams(1)
            // `convert::must_fit` checks the limit, and returns a gRPC error.
            .max_header_list_size(4 * limits.number("headerBytesMax") as u32)
            .handshake(TokioIo::new(stream))
            .await?;
        tokio::spawn(connection);
        Ok(Sender::Http2(sender, Arc::new(())))
    }

    pub async fn send(
        &self,
        sender: &mut Sender,
        path: &str,
        headers: HeaderMap,
        body: RequestBody,
    ) -> Result<Response<Incoming>, Reason> {
        let path = format!("{}{path}", self.to.path().trim_end_matches('/'));
        let authority = self.to.authority().map_or("", |authority| authority.as_str());
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.headers_mut() = headers;
        match sender {
            Sender::Http1(sender) => {
                *request.uri_mut() = path.parse()?;
                request.headers_mut().insert(HOST, HeaderValue::from_str(authority)?);
                Ok(sender.send_request(request).await?)
            }
            Sender::Http2(sender, _) => {
                *request.uri_mut() = format!("https://{authority}{path}").parse()?;
                Ok(sender.send_request(request).await?)
            }
        }
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
