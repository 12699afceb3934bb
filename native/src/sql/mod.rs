//! Runs SQL statements in separate processes, so that a statement that crashes, takes too long or
//! uses too much memory does not stop the database.
//!
//! | module | role |
//! |---|---|
//! | `frame` | the bytes between the processes |
//! | `process` | the parent's view of a process |
//! | `child` | the process itself |
//!
//! A process handles one call at a time. If a limit is exceeded, the running call is therefore the
//! cause. The parent then ends the process. Its other sessions return an error, and the engine starts
//! their statements again. While a call computes, new sessions use another process.

#[cfg(feature = "sql")]
pub mod child;
mod frame;
mod process;

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tidemark::protocol::sql::error_reply;
use tokio::runtime::Handle;
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use crate::engine::ObjectReply;
use crate::limits::{
    SQL_CHECK, SQL_IDLE, SQL_KEPT_BYTES_MAX, SQL_PROCESSES_MAX, SQL_STATEMENTS_MAX, SQL_WAIT_MAX,
};
use frame::{Head, Kind};
use process::{Called, Process};

/// The SQL processes. Each starts when it is first needed.
#[derive(Debug)]
pub struct Sql {
    slots: [Arc<Slot>; SQL_PROCESSES_MAX],
}

impl Sql {
    /// Prepares SQL. The processes start in the event loop `runtime`.
    pub fn new(runtime: &Handle, turn_time: Duration) -> Arc<Self> {
        let slots = std::array::from_fn(|_| Slot::new(runtime.clone(), turn_time));
        Arc::new(Self { slots })
    }

    /// Chooses the first slot that can start a statement at once. Otherwise chooses the slot with
    /// the fewest statements, including those that wait: each statement holds a reference to its
    /// slot. Returns no permit if all slots are full.
    fn slot(&self) -> (Arc<Slot>, Option<OwnedSemaphorePermit>) {
        let [first, others @ ..] = &self.slots;
        let fewest = others.iter().fold(first, |fewest, slot| {
            if Arc::strong_count(slot) < Arc::strong_count(fewest) { slot } else { fewest }
        });
        let idle = self.slots.iter().filter(|slot| slot.running.try_lock().is_ok());
        let permit = |slot: &Arc<Slot>| Arc::clone(&slot.permits).try_acquire_owned().ok();
        let found = idle
            .chain([fewest])
            .chain(&self.slots)
            .find_map(|slot| permit(slot).map(|permit| (slot, Some(permit))));
        let (slot, permit) = found.unwrap_or((fewest, None));
        (Arc::clone(slot), permit)
    }
}

/// The place of one SQL process, which is started again after it has ended.
#[derive(Debug)]
struct Slot {
    /// The event loop in which the process and its calls run. A call continues even if its caller
    /// is dropped.
    runtime: Handle,
    /// The maximum duration of a turn.
    turn_time: Duration,
    running: Arc<tokio::sync::Mutex<Running>>,
    permits: Arc<Semaphore>,
    /// The statements that have received a permit.
    statements: Mutex<Vec<Weak<Statement>>>,
    sessions: AtomicU64,
}

#[derive(Debug, Default)]
struct Running {
    process: Option<Process>,
    /// The number of processes that have ended. When a process ends, its sessions are lost.
    ended: u64,
}

/// The state of a statement. The mutex is locked during each turn.
type Statement = tokio::sync::Mutex<State>;

#[derive(Debug)]
struct State {
    session: u64,
    permit: Option<OwnedSemaphorePermit>,
    /// The value of [`Running::ended`] when the process opened the session, or `None` if no session
    /// is open.
    opened: Option<u64>,
    /// Whether the statement lost its permit to another statement.
    is_lost: bool,
    seen: Instant,
}

impl State {
    /// Releases the permit and marks the session as closed. Returns the previous value of `opened`.
    fn close(&mut self) -> Option<u64> {
        self.permit = None;
        self.opened.take()
    }
}

/// The SQL session of a request. Dropping the value ends the statement.
#[derive(Debug)]
pub struct Session {
    slot: Arc<Slot>,
    statement: Arc<Statement>,
}

impl Session {
    /// Opens a session. The first message starts its statement.
    pub fn open(sql: &Sql) -> Self {
        let (slot, permit) = sql.slot();
        let session = slot.sessions.fetch_add(1, Ordering::Relaxed);
        let has_permit = permit.is_some();
        let state = State { session, permit, opened: None, is_lost: false, seen: Instant::now() };
        let statement = Arc::new(Statement::new(state));
        if has_permit {
            slot.register(&statement);
        }
        Self { slot, statement }
    }

    /// Records that the client still reads the result, even if the statement is waiting for a scan.
    pub fn touch(&self) {
        // If the statement is locked, a turn is running.
        if let Ok(mut state) = self.statement.try_lock() {
            state.seen = Instant::now();
        }
    }

    /// Returns a future that passes a message to the session. The returned future does not borrow
    /// the session.
    pub fn turn(&self, message: Vec<u8>) -> impl Future<Output = ObjectReply> + use<> {
        let (slot, statement) = (Arc::clone(&self.slot), Arc::clone(&self.statement));
        async move { slot.turn(statement, message).await.or_else(|reason| error_reply(&reason)) }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let (slot, statement) = (Arc::clone(&self.slot), Arc::clone(&self.statement));
        self.slot.runtime.spawn(async move {
            let mut state = statement.lock_owned().await;
            slot.end(&mut state).await;
        });
    }
}

impl Slot {
    fn new(runtime: Handle, turn_time: Duration) -> Arc<Self> {
        Arc::new(Self {
            runtime,
            turn_time,
            running: Arc::default(),
            permits: Arc::new(Semaphore::new(SQL_STATEMENTS_MAX)),
            statements: Mutex::default(),
            sessions: AtomicU64::new(0),
        })
    }

    /// Records that a statement has received a permit.
    fn register(&self, statement: &Arc<Statement>) {
        let mut statements = self.statements.lock().unwrap_or_else(PoisonError::into_inner);
        statements.retain(|one| one.strong_count() > 0);
        statements.push(Arc::downgrade(statement));
    }

    async fn turn(
        self: Arc<Self>,
        statement: Arc<Statement>,
        message: Vec<u8>,
    ) -> Result<Vec<u8>, String> {
        let mut state = Arc::clone(&statement).lock_owned().await;
        if state.is_lost {
            // The next message of the session starts the statement again.
            state.is_lost = false;
            return Err("lost: another statement needed the memory".to_owned());
        }
        if state.permit.is_none() {
            state.permit = Some(self.permit().await?);
            self.register(&statement);
        }
        let slot = Arc::clone(&self);
        // If the client disconnects, the pipe must not contain an incomplete frame. The call
        // therefore runs in a separate task.
        let call = self.runtime.spawn(async move { slot.call(state, message).await });
        call.await.unwrap_or_else(|reason| Err(reason.to_string()))
    }

    /// Passes a message to the process. Starts the process if it is not running.
    async fn call(
        &self,
        mut state: OwnedMutexGuard<State>,
        message: Vec<u8>,
    ) -> Result<Vec<u8>, String> {
        let mut running = self.running.lock().await;
        if state.opened.is_some_and(|opened| opened != running.ended) {
            state.close();
            return Err("lost: another statement ended the SQL process".to_owned());
        }
        let result = self.reply(&mut running, &mut state, &message).await;
        state.seen = Instant::now();
        if result.is_err() {
            state.close();
        }
        if state.permit.is_none() {
            self.settle(&mut running).await;
        }
        result
    }

    async fn reply(
        &self,
        running: &mut Running,
        state: &mut State,
        message: &[u8],
    ) -> Result<Vec<u8>, String> {
        let Some(head) = Head::of(state.session, Kind::Turn, message) else {
            self.close(running, state).await;
            return Err("the message is too large".to_owned());
        };
        let process = match &mut running.process {
            Some(process) => process,
            none => {
                let started = Process::start();
                let started = started.map_err(|reason| format!("SQL did not start: {reason}"))?;
                none.insert(started)
            }
        };
        state.opened = Some(running.ended);
        match process.call(head, message, self.turn_time).await {
            Called::Reply(reply, is_over) => {
                if is_over {
                    state.close();
                }
                Ok(reply)
            }
            Called::Lost(reason) => {
                running.forget();
                Err(reason)
            }
        }
    }

    async fn end(&self, state: &mut State) {
        if state.opened.is_none() {
            state.close();
            return;
        }
        let mut running = self.running.lock().await;
        self.close(&mut running, state).await;
        self.settle(&mut running).await;
    }

    /// Closes the session of a statement in the process that opened the session.
    async fn close(&self, running: &mut Running, state: &mut State) {
        let session = state.session;
        if state.close() != Some(running.ended) {
            return;
        }
        let Some(process) = &mut running.process else { return };
        let head = Head { session, kind: Kind::End, length: 0 };
        if let Called::Lost(_) = process.call(head, &[], self.turn_time).await {
            running.forget();
        }
    }

    /// Ends the process if it has used much memory and no statement is running. Allocators do not
    /// return freed memory to the system.
    async fn settle(&self, running: &mut Running) {
        let is_idle = self.permits.available_permits() == SQL_STATEMENTS_MAX;
        let is_large = |process: &mut Process| process.memory_bytes() > SQL_KEPT_BYTES_MAX;
        if is_idle && let Some(process) = running.process.take_if(is_large) {
            running.forget();
            process.end().await;
        }
    }

    /// Waits until a statement receives a permit.
    async fn permit(self: &Arc<Self>) -> Result<OwnedSemaphorePermit, String> {
        let mut permit = pin!(Arc::clone(&self.permits).acquire_owned());
        let mut end = pin!(sleep(SQL_WAIT_MAX));
        loop {
            tokio::select! {
                biased;
                permit = &mut permit => return permit.map_err(|reason| reason.to_string()),
                () = &mut end => {
                    return Err("too many statements are running; retry later".to_owned());
                }
                () = sleep(SQL_CHECK) => self.end_idle(),
            }
        }
    }

    /// Takes the permit from a statement whose client does not read the result.
    fn end_idle(self: &Arc<Self>) {
        let statements = self.statements.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = statements.iter().find_map(|statement| {
            // If the statement is locked, a turn is running.
            let state = statement.upgrade()?.try_lock_owned().ok()?;
            (state.permit.is_some() && state.seen.elapsed() >= SQL_IDLE).then_some(state)
        });
        let Some(mut state) = idle else { return };
        state.permit = None;
        state.is_lost = true;
        let slot = Arc::clone(self);
        self.runtime.spawn(async move { slot.end(&mut state).await });
    }
}

impl Running {
    /// Records that the process has ended and its sessions are lost.
    fn forget(&mut self) {
        self.process = None;
        self.ended += 1;
    }
}
