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
//! cause. The parent then ends the process. The other sessions of the process return an error, and
//! the engine starts their statements again. A process also ends if it runs no statement and either
//! uses much memory or has not been used for some time. A statement chooses its process when it
//! starts: it prefers a process that computes nothing.

#[cfg(feature = "sql")]
pub mod child;
mod frame;
mod process;

use std::cmp::Reverse;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tidemark_engine::protocol::round::CallResult;
use tidemark_engine::protocol::sql::error_reply;
use tokio::runtime::Handle;
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use crate::limits::{
    SQL_CHECK, SQL_IDLE, SQL_IDLE_BYTES_MAX, SQL_PROCESSES_MAX, SQL_STATEMENTS_MAX, SQL_WAIT_MAX,
};
use frame::{Head, Kind};
use process::{Process, Reply};

/// The SQL processes. Each starts when it is first needed.
#[derive(Debug)]
pub struct Sql {
    /// The event loop in which the processes and their calls run. A call continues even if its
    /// caller is dropped.
    runtime: Handle,
    supervisors: [Arc<Supervisor>; SQL_PROCESSES_MAX],
    /// One for each slot of a statement in a process.
    permits: Arc<Semaphore>,
    /// The statements that have received a slot.
    statements: Mutex<Vec<Weak<Statement>>>,
    sessions: AtomicU64,
}

/// The limits of SQL processes.
#[derive(Clone, Copy, Debug)]
pub struct ProcessLimits {
    /// The maximum duration of one turn of a statement.
    pub turn: Duration,
    /// The maximum memory during a turn, in bytes.
    pub memory_bytes: u64,
    /// The time without statements after which a process ends.
    pub unused: Duration,
}

/// Starts one SQL process when a statement needs it, and again after it has ended.
#[derive(Debug)]
struct Supervisor {
    limits: ProcessLimits,
    running: tokio::sync::Mutex<Running>,
    permits: Arc<Semaphore>,
}

/// The slot of a statement in a process. The fields are dropped in this order. `_permit` is last,
/// so that the next statement, which waits for this permit, always finds a process with a free
/// slot.
#[derive(Debug)]
struct Slot {
    supervisor: Arc<Supervisor>,
    _in_process: OwnedSemaphorePermit,
    _permit: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Running {
    process: Option<Process>,
    /// The number of processes that have ended. When a process ends, its sessions are lost.
    ended: u64,
    /// The time of the last call.
    used: Instant,
}

/// The state of a statement. The mutex is locked during each turn.
type Statement = tokio::sync::Mutex<StatementState>;

/// The state of one SQL statement.
#[derive(Debug)]
struct StatementState {
    session: u64,
    slot: Option<Slot>,
    /// The value of [`Running::ended`] when the process opened the session, or `None` if no session
    /// is open.
    opened: Option<u64>,
    /// Whether the statement lost its slot to another statement.
    is_lost: bool,
    seen: Instant,
}

impl StatementState {
    /// Releases the slot and marks the session as closed. Returns the previous value of `opened`.
    fn close(&mut self) -> Option<u64> {
        self.slot = None;
        self.opened.take()
    }
}

/// The SQL session of a request. Dropping the value ends the statement.
#[derive(Debug)]
pub struct Session {
    sql: Arc<Sql>,
    statement: Arc<Statement>,
}

impl Session {
    /// Opens a session. The first message starts its statement.
    pub fn open(sql: &Arc<Sql>) -> Self {
        let session = sql.sessions.fetch_add(1, Ordering::Relaxed);
        let state = StatementState {
            session,
            slot: None,
            opened: None,
            is_lost: false,
            seen: Instant::now(),
        };
        Self { sql: Arc::clone(sql), statement: Arc::new(Statement::new(state)) }
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
    pub fn turn(&self, message: Vec<u8>) -> impl Future<Output = CallResult> + use<> {
        let (sql, statement) = (Arc::clone(&self.sql), Arc::clone(&self.statement));
        async move { sql.turn(statement, message).await.or_else(|reason| error_reply(&reason)) }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let statement = Arc::clone(&self.statement);
        self.sql.runtime.spawn(async move {
            let mut state = statement.lock_owned().await;
            let supervisor = state.slot.as_ref().map(|slot| Arc::clone(&slot.supervisor));
            if let Some(supervisor) = supervisor {
                supervisor.end_statement(&mut state).await;
            }
        });
    }
}

impl Sql {
    /// Prepares SQL. The processes start in the event loop `runtime`.
    pub fn new(runtime: &Handle, limits: ProcessLimits) -> Arc<Self> {
        Arc::new(Self {
            runtime: runtime.clone(),
            supervisors: std::array::from_fn(|_| Supervisor::new(limits)),
            permits: Arc::new(Semaphore::new(SQL_PROCESSES_MAX * SQL_STATEMENTS_MAX)),
            statements: Mutex::default(),
            sessions: AtomicU64::new(0),
        })
    }

    async fn turn(&self, statement: Arc<Statement>, message: Vec<u8>) -> Result<Vec<u8>, String> {
        let mut state = Arc::clone(&statement).lock_owned().await;
        if state.is_lost {
            // The next message of the session starts the statement again.
            state.is_lost = false;
            return Err("lost: another statement needed the memory".to_owned());
        }
        let supervisor = match &state.slot {
            Some(slot) => Arc::clone(&slot.supervisor),
            None => {
                let slot = self.assign_slot(&statement, self.permit().await?)?;
                Arc::clone(&state.slot.insert(slot).supervisor)
            }
        };
        // If the client disconnects, the pipe must not contain an incomplete frame. The call
        // therefore runs in a separate task.
        let call = self.runtime.spawn(async move { supervisor.call(state, message).await });
        call.await.unwrap_or_else(|reason| Err(reason.to_string()))
    }

    /// Waits until a statement receives a permit.
    async fn permit(&self) -> Result<OwnedSemaphorePermit, String> {
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

    /// Prefers a process that computes nothing, then the process with the fewest statements.
    fn assign_slot(
        &self,
        statement: &Arc<Statement>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Slot, String> {
        // While this mutex is locked, no other statement takes a slot.
        let mut statements = self.statements.lock().unwrap_or_else(PoisonError::into_inner);
        let mut supervisors: Vec<&Arc<Supervisor>> = self.supervisors.iter().collect();
        supervisors.sort_by_cached_key(|supervisor| {
            (
                supervisor.running.try_lock().is_err(),
                Reverse(supervisor.permits.available_permits()),
            )
        });
        let found = supervisors.into_iter().find_map(|supervisor| {
            let permit = Arc::clone(&supervisor.permits).try_acquire_owned().ok()?;
            Some((Arc::clone(supervisor), permit))
        });
        let (supervisor, in_process) =
            found.ok_or("too many statements are running; retry later")?;
        statements.retain(|one| one.strong_count() > 0);
        statements.push(Arc::downgrade(statement));
        Ok(Slot { supervisor, _in_process: in_process, _permit: permit })
    }

    /// Takes the slot from a statement whose client does not read the result.
    fn end_idle(&self) {
        let statements = self.statements.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = statements.iter().find_map(|statement| {
            // If the statement is locked, a turn is running.
            let mut state = statement.upgrade()?.try_lock_owned().ok()?;
            let is_idle = state.seen.elapsed() >= SQL_IDLE;
            let slot = state.slot.take_if(|_| is_idle)?;
            Some((state, Arc::clone(&slot.supervisor)))
        });
        let Some((mut state, supervisor)) = idle else { return };
        state.is_lost = true;
        self.runtime.spawn(async move { supervisor.end_statement(&mut state).await });
    }
}

impl Supervisor {
    fn new(limits: ProcessLimits) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(SQL_STATEMENTS_MAX));
        let running = Running { process: None, ended: 0, used: Instant::now() };
        Arc::new(Self { limits, running: running.into(), permits })
    }

    /// Passes a message to the process. Starts the process if it is not running.
    async fn call(
        self: &Arc<Self>,
        mut state: OwnedMutexGuard<StatementState>,
        message: Vec<u8>,
    ) -> Result<Vec<u8>, String> {
        let mut running = self.running.lock().await;
        if state.opened.is_some_and(|opened| opened != running.ended) {
            state.close();
            self.end_if_large(&mut running).await;
            return Err("lost: another statement ended the SQL process".to_owned());
        }
        let result = self.reply(&mut running, &mut state, &message).await;
        state.seen = Instant::now();
        if result.is_err() {
            state.close();
        }
        if state.slot.is_none() {
            self.end_if_large(&mut running).await;
        }
        result
    }

    async fn reply(
        self: &Arc<Self>,
        running: &mut Running,
        state: &mut StatementState,
        message: &[u8],
    ) -> Result<Vec<u8>, String> {
        let Some(head) = Head::of(state.session, Kind::Turn, message) else {
            self.close(running, state).await;
            return Err("the message is too large".to_owned());
        };
        if running.process.is_none() {
            let started = Process::start(self.limits);
            running.process = Some(started.map_err(|e| format!("SQL did not start: {e}"))?);
            tokio::spawn(Arc::clone(self).end_if_unused(running.ended));
        }
        state.opened = Some(running.ended);
        let (reply, is_over) = running.call(head, message).await?;
        if is_over {
            state.close();
        }
        Ok(reply)
    }

    async fn end_statement(&self, state: &mut StatementState) {
        if state.opened.is_none() {
            state.close();
            return;
        }
        let mut running = self.running.lock().await;
        self.close(&mut running, state).await;
        self.end_if_large(&mut running).await;
    }

    /// Closes the session of a statement in the process that opened the session.
    async fn close(&self, running: &mut Running, state: &mut StatementState) {
        let session = state.session;
        if state.close() == Some(running.ended) {
            let head = Head { session, kind: Kind::End, length: 0 };
            // After an error, the session no longer exists.
            let _ = running.call(head, &[]).await;
        }
    }

    /// Ends the process if it has used much memory and no statement is running. Allocators do not
    /// return freed memory to the system.
    async fn end_if_large(&self, running: &mut Running) {
        let is_large = |process: &Process| process.memory_bytes() > SQL_IDLE_BYTES_MAX;
        if self.is_idle() && running.process.as_ref().is_some_and(is_large) {
            running.end().await;
        }
    }

    /// Waits until no statement has used the process for [`ProcessLimits::unused`], and then ends the
    /// process. `ended` identifies the process: the value of [`Running::ended`] at its start.
    async fn end_if_unused(self: Arc<Self>, ended: u64) {
        let mut rest = self.limits.unused;
        loop {
            sleep(rest).await;
            let mut running = self.running.lock().await;
            if running.ended != ended {
                return;
            }
            let unused = running.used.elapsed();
            rest = match self.limits.unused.checked_sub(unused) {
                Some(rest) if !rest.is_zero() => rest,
                _ if !self.is_idle() => self.limits.unused,
                _ => return running.end().await,
            };
        }
    }

    /// Whether no statement has a slot in the process.
    fn is_idle(&self) -> bool {
        self.permits.available_permits() == SQL_STATEMENTS_MAX
    }
}

impl Running {
    /// Passes a message to the process. After an error, the process has ended.
    async fn call(&mut self, head: Head, message: &[u8]) -> Result<Reply, String> {
        let process = self.process.as_mut().ok_or("lost: the SQL process has ended")?;
        let result = process.call(head, message).await;
        self.used = Instant::now();
        if result.is_err() {
            self.end().await;
        }
        result
    }

    /// Ends the process. The sessions of the process are lost.
    async fn end(&mut self) {
        if let Some(process) = self.process.take() {
            self.ended += 1;
            process.end().await;
        }
    }
}
