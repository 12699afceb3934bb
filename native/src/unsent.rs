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
pub struct Reader {
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

impl Reader {
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
pub struct Readers {
    all_bytes: Arc<AtomicUsize>,
    readers: Mutex<Vec<Weak<Reader>>>,
}

impl Readers {
    /// Adds the client of a new connection.
    pub fn open(&self) -> Arc<Reader> {
        let reader = Arc::new(Reader {
            bytes: AtomicUsize::new(0),
            all_bytes: Arc::clone(&self.all_bytes),
            active: Mutex::new(Instant::now()),
            closing: Notify::new(),
            is_closing: AtomicBool::new(false),
        });
        let mut readers = self.lock();
        if readers.len() == readers.capacity() {
            readers.retain(|reader| reader.strong_count() > 0);
        }
        readers.push(Arc::downgrade(&reader));
        reader
    }

    /// Counts a part of a response to `reader` until it is sent.
    pub fn count(&self, reader: &Arc<Reader>, bytes: Vec<u8>) -> Bytes {
        if bytes.is_empty() {
            return Bytes::new();
        }
        if reader.bytes.fetch_add(bytes.len(), Ordering::Relaxed) == 0 {
            reader.mark_active();
        }
        let all_bytes = self.all_bytes.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len();
        if all_bytes > UNSENT_BYTES_MAX {
            self.close_idle(all_bytes - UNSENT_BYTES_MAX);
        }
        Bytes::from_owner(Piece { bytes, reader: Arc::clone(reader) })
    }

    fn close_idle(&self, mut excess_bytes: usize) {
        let mut waiting: Vec<_> = self.lock().iter().filter_map(Weak::upgrade).collect();
        waiting.retain(|reader| reader.held_bytes() > 0);
        // A closing connection still counts its bytes until its task runs.
        let is_open = |reader: &Reader| !reader.is_closing.load(Ordering::Relaxed);
        waiting.sort_by_cached_key(|reader| (is_open(reader), reader.last_active()));
        for reader in waiting {
            if excess_bytes == 0 {
                break;
            }
            let bytes = reader.held_bytes();
            if !reader.is_closing.swap(true, Ordering::Relaxed) {
                log::event("slow_reader_closed", &[("unsent_bytes", bytes.into())]);
                reader.closing.notify_one();
            }
            excess_bytes = excess_bytes.saturating_sub(bytes);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Reader>>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part of a response.
struct Piece {
    bytes: Vec<u8>,
    reader: Arc<Reader>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.reader.bytes.fetch_sub(self.bytes.len(), Ordering::Relaxed);
        self.reader.all_bytes.fetch_sub(self.bytes.len(), Ordering::Relaxed);
        self.reader.mark_active();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_idle_reader_is_closed_at_limit() {
        let readers = Readers::default();
        let [idle, reading, other] = [(), (), ()].map(|()| readers.open());
        let half = UNSENT_BYTES_MAX / 2;
        let first = readers.count(&reading, vec![0; half - 1]);
        let _idle = readers.count(&idle, vec![0; half]);
        drop(first);
        let _next = readers.count(&reading, vec![0; half]);
        let is_closed = |reader: &Arc<Reader>| {
            let closing = std::pin::pin!(reader.closing.notified());
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            closing.poll(&mut context).is_ready()
        };
        assert!(!is_closed(&idle) && !is_closed(&reading));
        let _last = readers.count(&other, vec![0; 1]);
        assert!(is_closed(&idle) && !is_closed(&reading) && !is_closed(&other));
        // The bytes of the closing connection already count as freed.
        let _more = readers.count(&other, vec![0; 1]);
        assert!(!is_closed(&idle) && !is_closed(&reading) && !is_closed(&other));
    }
}
