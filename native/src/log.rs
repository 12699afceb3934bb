//! Writes the log. Each event is one line of JSON.
//!
//! The servers write their log in a separate thread. If no program reads the log, the thread waits.
//! The server continues, and drops log lines.

use std::io::{IsTerminal as _, Write as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tidemark_response::time;

use crate::limits::{LOG_END_MAX, LOG_LINES_MAX};
use crate::platform::now_ns;
use crate::printable::printable_lines;

/// The pause between two attempts if the queue is full.
const FULL_PAUSE: Duration = Duration::from_millis(10);

static WRITER: OnceLock<SyncSender<Entry>> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);

enum Entry {
    Line(String),
    /// The sender waits until all earlier lines are written.
    End(SyncSender<()>),
}

/// Starts the thread that writes the log. Without this call, each line is written immediately.
pub fn start() {
    let (to, entries) = sync_channel(LOG_LINES_MAX);
    let write_all = move || {
        for entry in entries {
            let dropped = DROPPED.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                write(&event_line("log_lines_dropped", &[("lines", dropped.into())]));
            }
            match entry {
                Entry::Line(text) => write(&text),
                Entry::End(done) => drop(done.send(())),
            }
        }
    };
    if thread::Builder::new().name("log".to_owned()).spawn(write_all).is_ok() {
        // The program calls this function only once.
        let _ = WRITER.set(to);
    }
}

/// Waits until the lines are written, but not much longer than [`LOG_END_MAX`].
pub fn end() {
    let Some(writer) = WRITER.get() else { return };
    let (to, done) = sync_channel(1);
    let (began, mut entry) = (Instant::now(), Entry::End(to));
    while began.elapsed() < LOG_END_MAX {
        match writer.try_send(entry) {
            Ok(()) => {
                let _ = done.recv_timeout(LOG_END_MAX);
                return;
            }
            Err(TrySendError::Full(unsent) | TrySendError::Disconnected(unsent)) => {
                entry = unsent;
                thread::sleep(FULL_PAUSE);
            }
        }
    }
}

/// Writes a line to the log.
pub fn line(text: &str) {
    match WRITER.get() {
        None => write(text),
        Some(writer) => {
            if writer.try_send(Entry::Line(text.to_owned())).is_err() {
                DROPPED.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Escapes control characters, which JSON permits in strings if they are U+007F or above. Ignores
/// errors, because a closed log must not stop the server.
fn write(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{}", printable_lines(text));
}

/// Writes lines to the standard error output. The text may contain names and values of clients, so
/// control characters are escaped for a terminal.
pub fn message(text: &str) {
    let mut out = std::io::stderr().lock();
    let text = if out.is_terminal() { printable_lines(text) } else { text.into() };
    let _ = writeln!(out, "{text}");
}

/// Writes an event with the current time.
pub fn event(name: &str, more: &[(&str, Value)]) {
    line(&event_line(name, more));
}

/// Adds the current time to a line, which must be a JSON object with at least one key.
pub fn request(object: &str) {
    let rest = object.strip_prefix('{').unwrap_or(object);
    line(&format!("{{\"time\":\"{}\",{rest}", now()));
}

fn event_line(name: &str, more: &[(&str, Value)]) -> String {
    let mut event = Map::new();
    event.insert("time".to_owned(), now().into());
    event.insert("event".to_owned(), name.into());
    event.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    Value::Object(event).to_string()
}

/// Returns the time with milliseconds.
fn now() -> String {
    rfc3339(now_ns() / 1_000_000 * 1_000_000)
}

pub fn rfc3339(time_ns: i64) -> String {
    let mut text = Vec::new();
    time::rfc3339(time_ns, 0, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}
