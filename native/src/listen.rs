//! Starts the threads, accepts connections, and shuts the program down.

use std::env::VarError;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tidemark_engine::protocol::call::Address;
use tidemark_server::settings::Settings;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::Failure;
use crate::alarms::Alarms;
use crate::connection::{ConnectionInfo, Tls};
use crate::connection_permits::ConnectionPermits;
use crate::crashes::Refused;
use crate::engine::{EngineThread, Shared, ThreadMessage};
use crate::failed_commits::FailedCommits;
use crate::folder::{self, Folder};
use crate::limits::{BLOCKING_THREADS_MAX, ENGINE_SLICE, GRACE, THREAD_MESSAGES_MAX};
use crate::log;
use crate::scheduling;
use crate::sql::{ProcessLimits, Sql};
use crate::unsent::Clients;

/// The pause after an error of the listening socket, for example if no file descriptor is
/// available.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The limit `OPEN_MAX` of macOS.
const MACOS_OPEN_FILES_MAX: u64 = 10_240;
/// The interval at which the program checks whether all requests have finished.
const END_CHECK: Duration = Duration::from_millis(5);

/// The options of `tidemark serve`.
#[derive(Debug)]
pub struct Options {
    pub data: PathBuf,
    pub listen: Vec<SocketAddr>,
    pub tls: Option<(PathBuf, PathBuf)>,
    pub backups: Option<PathBuf>,
    /// `THREADS`: the number of engine threads.
    pub threads: usize,
    /// `MEMORY_BYTES`: the total memory of all threads for memtables and decoded values, in bytes.
    pub memory_bytes: usize,
    /// `SQL_TURN_MS`, `SQL_PROCESS_BYTES` and `SQL_UNUSED_MS`, for tests.
    pub sql_limits: ProcessLimits,
}

/// Runs the database until a termination signal arrives.
pub fn serve(options: Options) -> Result<(), Failure> {
    let permits = ConnectionPermits::new(permit_open_files());
    scheduling::set_slice(Some(ENGINE_SLICE));
    let tls = options.tls.as_ref().map(|(cert, key)| tls(cert, key)).transpose()?;
    let folder = Folder::open(&options.data)?;
    if let Some(backups) = &options.backups {
        folder::create(backups)?;
    }
    let token = match std::env::var("ADMIN_TOKEN") {
        Ok(token) if !token.trim().is_empty() => None,
        Err(VarError::NotUnicode(_)) => return Err(Failure::of("ADMIN_TOKEN is not UTF-8.")),
        _ => Some(folder.admin_token()?),
    };
    read_settings(token.as_deref(), options.threads)?;
    let runtime = runtime()?;
    let (end, is_ending) = watch::channel(false);
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..options.threads).map(|_| mpsc::channel(THREAD_MESSAGES_MAX)).unzip();
    let failed_commits: Arc<FailedCommits> = Arc::default();
    let (alarms, alarms_thread, stored) = Alarms::open(&folder, Arc::clone(&failed_commits))?;
    let shared = Arc::new(Shared {
        threads: senders,
        store: folder.store(),
        backups: options.backups.clone(),
        alarms,
        refused: Refused::open(&folder.crashes())?,
        sql: Sql::new(runtime.handle(), options.sql_limits),
        is_ending,
        busy: AtomicUsize::new(0),
        clients: Clients::default(),
        heads: Arc::default(),
        failed_commits,
        memory_bytes: options.memory_bytes / options.threads,
    });
    log::start();
    runtime.block_on(async {
        let listeners = bind(&options.listen).await?;
        let mut signals = signals()?;
        let threads = start_threads(&shared, receivers, &stored, token.as_deref())?;
        log_start(&options, &folder, token.as_deref(), &listeners, tls.is_some());
        shared.refused.log();
        let accepting = accept(&shared, &permits, listeners, tls);
        tokio::select! {
            _ = signals.join_next() => {}
            () = accepting => {}
        }
        end_threads(&shared, &end, threads).await;
        Ok(())
    })?;
    shared.alarms.close();
    let _ = alarms_thread.join();
    if !std::io::stdout().is_terminal() {
        log::event("stopped", &[]);
    }
    log::end();
    Ok(())
}

pub fn runtime() -> Result<Runtime, Failure> {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_all().max_blocking_threads(BLOCKING_THREADS_MAX).build();
    runtime.map_err(|reason| Failure(format!("the event loop could not be started: {reason}")))
}

/// Reads the settings. Each thread reads the settings separately, because threads do not share
/// them.
fn read_settings(token: Option<&str>, threads: usize) -> Result<Settings, Failure> {
    let lookup = |name: &str| match (name, std::env::var(name)) {
        ("ADMIN_TOKEN", _) if token.is_some() => token.map(str::to_owned),
        // Each thread counts only its own requests.
        ("COUNT_DURATIONS", Err(_)) => Some((threads == 1).to_string()),
        (_, value) => value.ok(),
    };
    Settings::read(lookup).map_err(|reason| Failure(reason.to_string()))
}

fn start_threads(
    shared: &Arc<Shared>,
    receivers: Vec<mpsc::Receiver<ThreadMessage>>,
    alarms: &[(Address, i64)],
    token: Option<&str>,
) -> Result<Vec<JoinHandle<()>>, Failure> {
    let mut threads = Vec::new();
    for (index, messages) in receivers.into_iter().enumerate() {
        let (shared, runtime) = (Arc::clone(shared), runtime()?);
        let (alarms, token) = (alarms.to_vec(), token.map(str::to_owned));
        let body = move || match read_settings(token.as_deref(), shared.threads.len()) {
            Ok(settings) => {
                let engine = EngineThread::new(shared, index, settings, &alarms);
                LocalSet::new().block_on(&runtime, engine.run(messages));
            }
            Err(Failure(reason)) => eprintln!("{reason}"),
        };
        let thread = std::thread::Builder::new().name(format!("engine-{index}")).spawn(body);
        threads.push(thread.map_err(Failure::thread)?);
    }
    Ok(threads)
}

/// Raises the limit of open files to the maximum that the system permits. Each connection and each
/// object needs open files, and the usual limit of 1,024 files is too low for hundreds of
/// databases. Returns the new limit, or `None` if the number is not limited.
fn permit_open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let set = |current| setrlimit(Resource::Nofile, Rlimit { current, ..limit });
    // macOS rejects values above `MACOS_OPEN_FILES_MAX`, although the maximum is unlimited.
    let fallback = limit.maximum.map_or(MACOS_OPEN_FILES_MAX, |max| max.min(MACOS_OPEN_FILES_MAX));
    if set(limit.maximum).is_err() && limit.current.is_some_and(|current| current < fallback) {
        // If the system refuses again, the program runs with the usual limit.
        let _ = set(Some(fallback));
    }
    getrlimit(Resource::Nofile).current
}

pub async fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, Failure> {
    let mut listeners = Vec::new();
    for address in addresses {
        let listener = TcpListener::bind(address).await.map_err(|reason| {
            Failure(format!("cannot listen at {address}: {reason}. Choose another address."))
        })?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Returns tasks that wait for the signals that end the program.
pub fn signals() -> Result<JoinSet<()>, Failure> {
    let mut waiting = JoinSet::new();
    // Without a terminal, for example under nohup, the program does not change the handling of
    // SIGHUP.
    let hangup = std::io::stdout().is_terminal().then(SignalKind::hangup);
    for kind in [SignalKind::terminate(), SignalKind::interrupt()].into_iter().chain(hangup) {
        let signal = signal(kind);
        let mut signal =
            signal.map_err(|reason| Failure(format!("signals cannot be handled: {reason}")))?;
        waiting.spawn(async move {
            let _ = signal.recv().await;
        });
    }
    Ok(waiting)
}

/// Accepts connections, and assigns each connection to the next thread.
async fn accept(
    shared: &Arc<Shared>,
    permits: &Arc<ConnectionPermits>,
    listeners: Vec<TcpListener>,
    tls: Option<Tls>,
) {
    let next = Arc::new(AtomicUsize::new(0));
    let mut accepting = JoinSet::new();
    for listener in listeners {
        let (shared, tls) = (Arc::clone(shared), tls.clone());
        let (permits, next) = (Arc::clone(permits), Arc::clone(&next));
        accepting.spawn(async move {
            loop {
                let Some(permit) = permits.wait().await else { return };
                let accepted = listener.accept().await;
                let accepted = accepted.and_then(|(stream, peer)| {
                    stream.set_nodelay(true)?;
                    Ok((stream.into_std()?, peer))
                });
                let (stream, peer) = match accepted {
                    Ok(accepted) => accepted,
                    Err(_) => {
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                };
                // Without a permit, the connection is closed. `open` logs the refusal.
                let Some(permit) = permits.open(peer.ip(), permit) else { continue };
                let index = next.fetch_add(1, Ordering::Relaxed) % shared.threads.len();
                let thread_message = ThreadMessage::Connection(
                    stream,
                    ConnectionInfo { peer, permit, tls: tls.clone() },
                );
                if let Some(thread) = shared.threads.get(index) {
                    // Sending fails only when the program ends.
                    let _ = thread.send(thread_message).await;
                }
            }
        });
    }
    while accepting.join_next().await.is_some() {}
}

/// Waits until running requests have finished, then ends the threads.
async fn end_threads(
    shared: &Arc<Shared>,
    end: &watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
) {
    let _ = end.send(true);
    let began = Instant::now();
    while shared.busy.load(Ordering::Relaxed) > 0 && began.elapsed() < GRACE {
        tokio::time::sleep(END_CHECK).await;
    }
    for thread in &shared.threads {
        let _ = thread.send(ThreadMessage::End).await;
    }
    let _ = tokio::task::spawn_blocking(move || {
        for thread in threads {
            let _ = thread.join();
        }
    })
    .await;
}

/// Returns the settings for TLS with a certificate and a key.
pub fn tls(cert: &Path, key: &Path) -> Result<Tls, Failure> {
    const USED: &str = "used for TLS";
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|reason| Failure::file(USED, cert, reason))?;
    let secret =
        PrivateKeyDer::from_pem_file(key).map_err(|reason| Failure::file(USED, key, reason))?;
    let settings = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, secret);
    let mut settings = settings.map_err(|reason| Failure::file(USED, cert, reason))?;
    settings.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Tls(Arc::new(settings)))
}

fn log_start(
    options: &Options,
    folder: &Folder,
    token: Option<&str>,
    listeners: &[TcpListener],
    is_tls: bool,
) {
    let scheme = if is_tls { "https" } else { "http" };
    let address = |index: usize| {
        let listener: Option<&TcpListener> = listeners.get(index);
        listener.and_then(|listener| listener.local_addr().ok()).map(|address| address.to_string())
    };
    let url = format!("{scheme}://{}", address(0).unwrap_or_default());
    let data = folder.path().display().to_string();
    let flight =
        address(1).map(|address| format!("grpc{}://{address}", if is_tls { "+tls" } else { "" }));
    if !std::io::stdout().is_terminal() {
        let mut more = vec![("url", json!(url)), ("folder", json!(data))];
        more.extend(flight.map(|flight| ("flight", json!(flight))));
        log::event("started", &more);
        return;
    }
    println!("\nTidemark is running at {url}, and stores its data in {data}");
    match token {
        Some(token) => println!("Console, with its token: {url}/#token={token}"),
        None => println!("Console: {url}/ (the token is the value of ADMIN_TOKEN)"),
    }
    if let Some(flight) = flight {
        println!("gRPC: {flight}");
    }
    println!("Threads: {}. Press Ctrl-C to stop. Each line below is a request.\n", options.threads);
}
