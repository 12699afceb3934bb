//! Runs a proxy that accepts gRPC, and forwards the calls as gRPC-Web to a server. The proxy is
//! independent of the services' methods.

mod call;
mod convert;
mod limits;
mod upstream;

use std::io::IsTerminal as _;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use h2::{Ping, PingPong};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::command_line::Arguments;
use super::{Command, http_client};
use crate::connection::Tls;
use crate::{Failure, listen, log, options};
use limits::{Limits, STREAM_WINDOW_BYTES};
use upstream::Upstream;

pub const COMMAND: Command = Command {
    name: "flight",
    help: include_str!("../flight.txt"),
    connection: &[],
    values: &["listen", "to", "tls-cert", "tls-key"],
    switches: &[],
    run,
};

const LISTEN: &str = "127.0.0.1:8788";

pub struct Proxy {
    limits: Limits,
    upstream: Upstream,
    calls: Semaphore,
    /// Whether to log a call with this gRPC status.
    is_logged: fn(u8) -> bool,
    stop: watch::Receiver<Stop>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    No,
    /// Running calls may finish.
    Graceful,
    /// Running calls end now.
    Now,
}

fn run(line: &Arguments) -> Result<ExitCode, Failure> {
    if let Some(word) = line.words.first() {
        return Err(line.unknown(word));
    }
    let place = line.value_or_variable("listen", "FLIGHT_LISTEN");
    let place = options::address("--listen", place.as_deref().unwrap_or(LISTEN))?;
    let to = line.value_or_variable("to", "TIDEMARK_URL");
    let to = http_client::address("--to", to.as_deref().unwrap_or(http_client::URL))?;
    let files = options::tls_files(
        line.value_or_variable("tls-cert", "TLS_CERT"),
        line.value_or_variable("tls-key", "TLS_KEY"),
    )?;
    let tls = files.map(|(cert, key)| listen::tls(&cert, &key)).transpose()?;
    let limits = Limits::read();
    let (to_stop, stop) = watch::channel(Stop::No);
    let proxy = Arc::new(Proxy {
        upstream: Upstream::new(to.clone())?,
        calls: Semaphore::new(limits.calls_max),
        limits,
        is_logged: is_logged()?,
        stop,
    });
    log::start();
    listen::runtime()?.block_on(async {
        let listener = listen::bind(&[place]).await?.remove(0);
        let signals = listen::signals()?;
        let place = listener.local_addr().unwrap_or(place);
        let address = format!("grpc{}://{place}", if tls.is_some() { "+tls" } else { "" });
        if std::io::stdout().is_terminal() {
            println!(
                "\nThis proxy accepts gRPC at {address}, and forwards it to {to} as gRPC-Web.\n\n\
                 Press Ctrl-C to stop. Each line below is a call.\n"
            );
        } else {
            let to = to.to_string();
            log::event("started", &[("address", json!(address)), ("to", json!(to))]);
        }
        serve(proxy, listener, tls, to_stop, signals).await;
        Ok::<_, Failure>(())
    })?;
    if !std::io::stdout().is_terminal() {
        log::event("stopped", &[]);
    }
    log::end();
    Ok(ExitCode::SUCCESS)
}

fn is_logged() -> Result<fn(u8) -> bool, Failure> {
    let text = std::env::var("LOG_REQUESTS").unwrap_or_default();
    match text.as_str() {
        "" | "all" => Ok(|_| true),
        "errors" => Ok(|status| status != 0),
        "none" => Ok(|_| false),
        _ => Err(Failure(format!(
            "LOG_REQUESTS is \"{text}\": set it to \"all\", \"errors\" or \"none\"."
        ))),
    }
}

/// Accepts connections until a termination signal arrives. Then waits for the running calls.
async fn serve(
    proxy: Arc<Proxy>,
    listener: TcpListener,
    tls: Option<Tls>,
    to_stop: watch::Sender<Stop>,
    mut signals: JoinSet<()>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            _ = signals.join_next() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < proxy.limits.connections_max => {
                    connections.spawn(connect(Arc::clone(&proxy), stream, tls.clone()));
                }
                // There are too many connections, so this connection is closed.
                Ok(_) => {}
                Err(_) => sleep(listen::ACCEPT_PAUSE).await,
            },
        }
    }
    drop(listener);
    let limits = &proxy.limits;
    for (stop, limit) in [(Stop::Graceful, limits.grace), (Stop::Now, limits.linger)] {
        to_stop.send_replace(stop);
        let _ = timeout(limit, async { while connections.join_next().await.is_some() {} }).await;
    }
}

async fn connect(proxy: Arc<Proxy>, stream: TcpStream, tls: Option<Tls>) {
    // A connection without this option is slower, but works.
    let _ = stream.set_nodelay(true);
    match tls {
        None => serve_connection(proxy, stream).await,
        Some(Tls(settings)) => {
            let handshake = TlsAcceptor::from(settings).accept(stream);
            if let Ok(Ok(stream)) = timeout(proxy.limits.connect, handshake).await {
                serve_connection(proxy, stream).await;
            }
        }
    }
}

async fn serve_connection(proxy: Arc<Proxy>, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let limits = &proxy.limits;
    let handshake = h2::server::Builder::new()
        .max_concurrent_streams(limits.calls_per_connection_max as u32)
        // `convert::must_fit` checks the limit, and returns a gRPC error.
        .max_header_list_size(4 * limits.header_bytes_max as u32)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits.connection_window_bytes())
        .max_send_buffer_size(STREAM_WINDOW_BYTES as usize)
        .handshake::<_, Bytes>(stream);
    let Ok(Ok(mut connection)) = timeout(limits.ping + limits.ping_answer, handshake).await else {
        return;
    };
    let mut is_lost = pin!(is_lost(connection.ping_pong(), limits));
    let mut stop = proxy.stop.clone();
    let mut is_ending = false;
    let mut calls = JoinSet::new();
    loop {
        tokio::select! {
            request = connection.accept() => match request {
                Some(Ok((request, respond))) => {
                    calls.spawn(call::run(Arc::clone(&proxy), request, respond));
                }
                _ => break,
            },
            Some(_) = calls.join_next() => {}
            () = &mut is_lost => break,
            _ = stop.wait_for(|stop| *stop != Stop::No), if !is_ending => {
                is_ending = true;
                connection.graceful_shutdown();
            }
        }
    }
    drop(connection);
    while calls.join_next().await.is_some() {}
}

/// Waits until the client does not reply to a PING.
async fn is_lost(pings: Option<PingPong>, limits: &Limits) {
    let Some(mut pings) = pings else { return };
    loop {
        sleep(limits.ping).await;
        let reply = timeout(limits.ping_answer, pings.ping(Ping::opaque())).await;
        if !matches!(reply, Ok(Ok(_))) {
            return;
        }
    }
}
