//! A plan that runs for one turn at a time: until nothing of it can go on without a page.
//!
//! # When a turn ends
//!
//! Tokio's current-thread runtime calls its hook `on_thread_park` when no task is runnable, and at
//! no other time. The hook sets a flag and wakes the root; the root is ready as soon as the flag is
//! set, and never wakes itself. So `block_on` of the root is one turn, and it never parks: in
//! WebAssembly it could not.
//!
//! A turn also ends when an operator has made so many rows in it ([`Pace`]): it sets the flag too,
//! and goes on in the next turn. Whoever else uses the thread is served in between.

use std::future::poll_fn;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use datafusion::execution::TaskContext;
use tokio::runtime::{Builder, Runtime};

use crate::limits::TURN_ROWS_MAX;

/// A runtime whose tasks run in turns.
#[derive(Debug)]
pub(crate) struct Turns {
    runtime: Runtime,
    pace: Arc<Pace>,
}

/// When the turn at hand ends, and how much was done in it.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    is_over: AtomicBool,
    rows: AtomicUsize,
    root: Mutex<Option<Waker>>,
}

impl Pace {
    /// That of the query whose operators are executed.
    pub(crate) fn of(context: &TaskContext) -> Arc<Self> {
        context.session_config().get_extension().unwrap_or_default()
    }

    /// So many rows were made, or pairs of a join compared that take as long. The turn may be over.
    pub(crate) fn made(&self, rows: usize) {
        if self.rows.fetch_add(rows, Ordering::Relaxed).saturating_add(rows) >= TURN_ROWS_MAX {
            self.end();
        }
    }

    /// Whether whoever makes rows goes on in the next turn.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn begin(&self) {
        self.is_over.store(false, Ordering::Relaxed);
        self.rows.store(0, Ordering::Relaxed);
    }

    fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Taken out: a waker that stays holds the runtime, and the runtime holds this.
        let waker = self.root.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Turns {
    /// No task yet.
    ///
    /// # Errors
    /// That of the runtime.
    pub(crate) fn new() -> io::Result<Self> {
        let pace = Arc::new(Pace::default());
        let hook = Arc::clone(&pace);
        // The root is looked at behind each task.
        let mut builder = Builder::new_current_thread();
        let runtime = builder.event_interval(1).on_thread_park(move || hook.end()).build()?;
        Ok(Self { runtime, pace })
    }

    /// What operators of the tasks say how much they do.
    pub(crate) fn pace(&self) -> Arc<Pace> {
        Arc::clone(&self.pace)
    }

    /// Adds a task, which runs in the next turn.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.runtime.spawn(task));
    }

    /// Runs what is runnable until nothing is, or enough was done; whether the latter.
    pub(crate) fn turn(&self) -> bool {
        self.pace.begin();
        let pace = &self.pace;
        self.runtime.block_on(poll_fn(|context| {
            if pace.is_over() {
                return Poll::Ready(());
            }
            let mut root = pace.root.lock().unwrap_or_else(PoisonError::into_inner);
            *root = Some(context.waker().clone());
            Poll::Pending
        }));
        pace.rows.load(Ordering::Relaxed) >= TURN_ROWS_MAX
    }

    /// Tasks that have not ended.
    pub(crate) fn tasks(&self) -> usize {
        self.runtime.metrics().num_alive_tasks()
    }
}
