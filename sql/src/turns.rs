//! Runs a plan one turn at a time. A turn ends when all tasks wait for pages.
//!
//! # When a turn ends
//!
//! Tokio's current-thread runtime calls its hook `on_thread_park` only if no task can run. The hook
//! sets a flag and wakes the root future. The root future is ready when the flag is set, and never
//! wakes itself. One `block_on` call with the root future is therefore one turn. `block_on` never
//! parks the thread, because WebAssembly does not support parking.
//!
//! A turn also ends after operators have produced a certain number of rows ([`Pace`]). At this
//! limit, the operator sets the same flag and continues in the next turn. Between turns, the thread
//! processes other requests.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use datafusion::execution::TaskContext;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::error::QueryError;
use crate::limits::{TURN_BYTES_MAX, TURN_CALLS_MAX, TURN_ROWS_MAX, WORK_PER_ROW};

thread_local! {
    /// The pace of the query whose turn this thread runs. A function cannot access its query.
    static RUNNING: RefCell<Option<Arc<Pace>>> = const { RefCell::new(None) };
}

/// The runtime and the work counters of one query.
#[derive(Debug)]
pub(crate) struct Turns {
    runtime: Runtime,
    pace: Arc<Pace>,
}

/// Counts the work of the current turn, and contains the flag that ends the turn.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    is_over: AtomicBool,
    rows: AtomicUsize,
    /// The cost of the function calls of the current turn, in rows.
    calls: AtomicUsize,
    /// The bytes that functions have produced in the current turn.
    bytes: AtomicUsize,
    /// The rows since the last call of [`Turns::take_work`].
    total_rows: AtomicU64,
    root: Mutex<Option<Waker>>,
}

impl Pace {
    /// Returns the pace of the query that owns `context`.
    pub(crate) fn of(context: &TaskContext) -> Arc<Self> {
        context.session_config().get_extension().unwrap_or_default()
    }

    /// Adds `rows` to the number of produced rows. An operator that compares pairs converts the
    /// number of pairs to a number of rows with equal cost. Ends the turn at the limit.
    pub(crate) fn made(&self, rows: usize) {
        self.total_rows.fetch_add(rows as u64, Ordering::Relaxed);
        if self.rows.fetch_add(rows, Ordering::Relaxed).saturating_add(rows) >= TURN_ROWS_MAX {
            self.end();
        }
    }

    fn called(&self, rows: usize, bytes: usize) -> Result<(), QueryError> {
        self.made(rows);
        let rows = self.calls.fetch_add(rows, Ordering::Relaxed).saturating_add(rows);
        let bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if bytes > TURN_BYTES_MAX {
            return Err(too_many_bytes());
        }
        if rows > TURN_CALLS_MAX {
            let message = "the functions of the statement need too much time in one turn; use \
                           fewer functions, or shorter strings or lists";
            return Err(QueryError::exhausted(message));
        }
        Ok(())
    }

    /// Whether operators that produce rows must wait for the next turn.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Waits for the next turn if this turn has reached its work limit.
    pub(crate) async fn wait(&self) {
        poll_fn(|context| match self.is_over() {
            true => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            false => Poll::Ready(()),
        })
        .await;
    }

    fn begin(&self) {
        self.is_over.store(false, Ordering::Relaxed);
        self.rows.store(0, Ordering::Relaxed);
        self.calls.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
    }

    fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        // `take` removes the waker. A stored waker would keep the runtime alive, although the
        // runtime owns this object.
        let waker = self.root.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Adds the cost of a function call, in rows, and the bytes that the function produces. A turn can
/// end only between two batches.
///
/// # Errors
/// Returns an error if the calls of the running turn exceed a limit.
pub(crate) fn spend(rows: i128, bytes: i128) -> Result<(), QueryError> {
    let [rows, bytes] = [rows, bytes].map(|count| usize::try_from(count).unwrap_or(usize::MAX));
    RUNNING.with_borrow(|pace| pace.as_ref().map_or(Ok(()), |pace| pace.called(rows, bytes)))
}

pub(crate) fn too_many_bytes() -> QueryError {
    QueryError::exhausted(format!(
        "the functions of the statement would produce more than {TURN_BYTES_MAX} bytes in one \
         turn; use fewer functions, shorter strings or lists, or smaller counts"
    ))
}

impl Turns {
    /// Creates a runtime without tasks.
    ///
    /// # Errors
    /// Returns the error of the runtime's builder.
    pub(crate) fn new() -> io::Result<Self> {
        let pace = Arc::new(Pace::default());
        let hook = Arc::clone(&pace);
        // An event interval of 1 means that the runtime polls the root future after every task.
        let mut builder = Builder::new_current_thread();
        let runtime = builder.event_interval(1).on_thread_park(move || hook.end()).build()?;
        Ok(Self { runtime, pace })
    }

    pub(crate) fn pace(&self) -> Arc<Pace> {
        Arc::clone(&self.pace)
    }

    /// Adds a task, which starts to run in the next turn.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.runtime.spawn(task)
    }

    /// Whether a task has ended with a panic. In WebAssembly, a panic traps instead.
    pub(crate) fn has_panicked(&self, task: &mut JoinHandle<()>) -> bool {
        task.is_finished() && self.runtime.block_on(task).is_err()
    }

    /// Runs tasks until all of them wait or the turn reaches its work limit. Returns whether the
    /// turn reached its work limit.
    pub(crate) fn turn(&self) -> bool {
        self.pace.begin();
        RUNNING.set(Some(self.pace()));
        let pace = &self.pace;
        self.runtime.block_on(poll_fn(|context| {
            if pace.is_over() {
                return Poll::Ready(());
            }
            let mut root = pace.root.lock().unwrap_or_else(PoisonError::into_inner);
            *root = Some(context.waker().clone());
            Poll::Pending
        }));
        RUNNING.set(None);
        pace.rows.load(Ordering::Relaxed) >= TURN_ROWS_MAX
    }

    /// Returns the work since the last call, in units of `QUERY_CPU_MS_MAX`.
    pub(crate) fn take_work(&self) -> u64 {
        self.pace.total_rows.swap(0, Ordering::Relaxed).saturating_mul(WORK_PER_ROW)
    }

    /// Returns the number of tasks that have not ended.
    pub(crate) fn tasks(&self) -> usize {
        self.runtime.metrics().num_alive_tasks()
    }
}
