//! A plan that runs for one turn at a time: until nothing of it can go on without a page.
//!
//! # When a turn ends
//!
//! Tokio's current-thread runtime calls its hook `on_thread_park` when no task is runnable, and at
//! no other time. The hook sets a flag and wakes the root; the root is ready as soon as the flag is
//! set, and never wakes itself. So `block_on` of the root is one turn, and it never parks: in
//! WebAssembly it could not.

use std::future::poll_fn;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use tokio::runtime::{Builder, Runtime};

/// A runtime whose tasks run in turns.
#[derive(Debug)]
pub(crate) struct Turns {
    runtime: Runtime,
    idle: Arc<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    is_reached: AtomicBool,
    root: Mutex<Option<Waker>>,
}

impl Idle {
    fn reach(&self) {
        self.is_reached.store(true, Ordering::Relaxed);
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
        let idle = Arc::new(Idle::default());
        let hook = Arc::clone(&idle);
        let runtime = Builder::new_current_thread().on_thread_park(move || hook.reach()).build()?;
        Ok(Self { runtime, idle })
    }

    /// Adds a task, which runs in the next turn.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.runtime.spawn(task));
    }

    /// Runs what is runnable until nothing is.
    pub(crate) fn turn(&self) {
        self.idle.is_reached.store(false, Ordering::Relaxed);
        let idle = &self.idle;
        self.runtime.block_on(poll_fn(|context| {
            if idle.is_reached.load(Ordering::Relaxed) {
                return Poll::Ready(());
            }
            let mut root = idle.root.lock().unwrap_or_else(PoisonError::into_inner);
            *root = Some(context.waker().clone());
            Poll::Pending
        }));
    }

    /// Tasks that have not ended.
    pub(crate) fn tasks(&self) -> usize {
        self.runtime.metrics().num_alive_tasks()
    }
}
