//! Limits the memory of responses whose clients do not read.
//!
//! hyper keeps the bytes of a response until they are sent. If the bytes of all responses exceed
//! [`UNSENT_BYTES_MAX`], the program closes the connections of the clients that have read nothing
//! for the longest time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use hyper::body::Bytes;
use tokio::sync::Notify;

use crate::limits::UNSENT_BYTES_MAX;
use crate::log;

/// The client of one connection.
#[derive(Debug)]
pub struct Client {
    /// The bytes of the client's responses that are not sent.
    bytes: AtomicUsize,
    /// The bytes of all clients.
    all_bytes: Arc<AtomicUsize>,
    /// The time at which a piece was last sent, or at which the first unsent piece was added.
    active: Mutex<Instant>,
    /// Notified if the connection must close.
    pub closing: Notify,
    /// Whether `closing` was notified.
    is_closing: AtomicBool,
}

impl Client {
    fn mark_active(&self) {
        *self.active.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn last_active(&self) -> Instant {
        *self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held_bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// The clients of all engine threads.
#[derive(Debug, Default)]
pub struct Clients {
    all_bytes: Arc<AtomicUsize>,
    clients: Mutex<Vec<Weak<Client>>>,
}

impl Clients {
    /// Adds the client of a new connection.
    pub fn open(&self) -> Arc<Client> {
        let client = Arc::new(Client {
            bytes: AtomicUsize::new(0),
            all_bytes: Arc::clone(&self.all_bytes),
            active: Mutex::new(Instant::now()),
            closing: Notify::new(),
            is_closing: AtomicBool::new(false),
        });
        let mut clients = self.lock();
        if clients.len() == clients.capacity() {
            clients.retain(|client| client.strong_count() > 0);
        }
        clients.push(Arc::downgrade(&client));
        client
    }

    /// Counts a part of a response to `client` until it is sent.
    pub fn count(&self, client: &Arc<Client>, bytes: Vec<u8>) -> Bytes {
        if bytes.is_empty() {
            return Bytes::new();
        }
        if client.bytes.fetch_add(bytes.len(), Ordering::Relaxed) == 0 {
            client.mark_active();
        }
        let all_bytes = self.all_bytes.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len();
        if all_bytes > UNSENT_BYTES_MAX {
            self.close_idle(all_bytes - UNSENT_BYTES_MAX);
        }
        Bytes::from_owner(Piece { bytes, client: Arc::clone(client) })
    }

    fn close_idle(&self, mut excess_bytes: usize) {
        let mut waiting: Vec<_> = self.lock().iter().filter_map(Weak::upgrade).collect();
        waiting.retain(|client| client.held_bytes() > 0);
        // A closing connection still counts its bytes until its task runs.
        let is_open = |client: &Client| !client.is_closing.load(Ordering::Relaxed);
        waiting.sort_by_cached_key(|client| (is_open(client), client.last_active()));
        for client in waiting {
            if excess_bytes == 0 {
                break;
            }
            let bytes = client.held_bytes();
            if !client.is_closing.swap(true, Ordering::Relaxed) {
                log::event("slow_reader_closed", &[("unsent_bytes", bytes.into())]);
                client.closing.notify_one();
            }
            excess_bytes = excess_bytes.saturating_sub(bytes);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Client>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part of a response.
struct Piece {
    bytes: Vec<u8>,
    client: Arc<Client>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.client.bytes.fetch_sub(self.bytes.len(), Ordering::Relaxed);
        self.client.all_bytes.fetch_sub(self.bytes.len(), Ordering::Relaxed);
        self.client.mark_active();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_idle_reader_is_closed_at_limit() {
        let clients = Clients::default();
        let [idle, reading, other] = [(), (), ()].map(|()| clients.open());
        let half = UNSENT_BYTES_MAX / 2;
        let first = clients.count(&reading, vec![0; half - 1]);
        let _idle = clients.count(&idle, vec![0; half]);
        drop(first);
        let _next = clients.count(&reading, vec![0; half]);
        let is_closed = |client: &Arc<Client>| {
            let closing = std::pin::pin!(client.closing.notified());
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            closing.poll(&mut context).is_ready()
        };
        assert!(!is_closed(&idle) && !is_closed(&reading));
        let _last = clients.count(&other, vec![0; 1]);
        assert!(is_closed(&idle) && !is_closed(&reading) && !is_closed(&other));
        // The bytes of the closing connection already count as freed.
        let _more = clients.count(&other, vec![0; 1]);
        assert!(!is_closed(&idle) && !is_closed(&reading) && !is_closed(&other));
    }
}
