//! Runs queries: requests their tables, plans them, and executes them in turns.

use std::collections::VecDeque;
use std::sync::Arc;

use chrono::DateTime;
use datafusion::arrow::array::{Array as _, RecordBatch};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool, TrackConsumersPool};
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::sql::parser::Statement;
use futures::stream::Fuse;
use futures::{FutureExt as _, StreamExt};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

use crate::complexity;
use crate::error::QueryError;
use crate::exchange::PageExchange;
use crate::limits::{
    BATCHES_WAITING_MAX, CACHED_TEXT_BYTES_MAX, PARAMETERS_MAX, PIECE_BYTES, POOL_BYTES_MAX,
};
use crate::messages::{
    PREPARED_FORMAT, Parameter, QueryRequest, SessionReply, SessionRequest, TableSchema, is_named,
};
use crate::plan::{self, Plan};
use crate::plan_cache::{PlanCache, PlanInputs};
use crate::sessions::Sessions;
use crate::tables::{Constants, RowFilter, SystemRows};
use crate::turns::{Pace, Turns};
use crate::value_sizes::{batch_bytes, largest_value_bytes};

/// The number of rows above which a batch is sent alone. A batch of more than `PIECE_BYTES` bytes
/// is also sent alone.
const JOINED_ROWS_MIN: usize = 1_024;
/// The approximate maximum size of the tags in a batch that is sent, in bytes. The writers of
/// results convert tags to texts, so that each row has a copy of its tags.
const SENT_TAG_BYTES_MAX: usize = 8 * 1_024 * 1_024;
/// The number of memory consumers that an out-of-memory error lists.
const CONSUMERS_NAMED: usize = 3;

/// The state that all queries of an instance share: the memory pool, the idle sessions and the
/// cached plans.
#[derive(Clone, Debug)]
pub struct Engine {
    pool: Arc<dyn MemoryPool>,
    sessions: Arc<Sessions>,
    plans: Arc<PlanCache>,
}

impl Default for Engine {
    fn default() -> Self {
        Self::with_pool_bytes(POOL_BYTES_MAX)
    }
}

impl Engine {
    /// Creates an engine. All queries of the engine together may reserve up to `bytes` bytes.
    pub fn with_pool_bytes(bytes: usize) -> Self {
        let named =
            std::num::NonZeroUsize::new(CONSUMERS_NAMED).unwrap_or(std::num::NonZeroUsize::MIN);
        let pool = TrackConsumersPool::new(GreedyMemoryPool::new(bytes), named);
        Self { pool: Arc::new(pool), sessions: Arc::default(), plans: Arc::default() }
    }

    /// Returns the number of reserved bytes.
    pub fn reserved_bytes(&self) -> usize {
        self.pool.reserved()
    }

    /// Returns the number of cached plans.
    pub fn cached_plans(&self) -> usize {
        self.plans.len()
    }

    /// Starts a query.
    ///
    /// # Errors
    /// Returns an error if the text is not exactly one read-only statement or exceeds a limit.
    pub fn open(&self, request: QueryRequest) -> Result<Query, QueryError> {
        let QueryRequest { text, parameters, now_ns, format, tables, .. } = request;
        let is_prepared = format == PREPARED_FORMAT;
        let shards_group = request.aggregates && request.first_of_groups;
        if parameters.len() > PARAMETERS_MAX {
            let message = format!("the statement has more than {PARAMETERS_MAX} parameters");
            return Err(QueryError::invalid(message));
        }
        complexity::check(&text)?;
        let now = DateTime::from_timestamp_nanos(now_ns);
        let state = self.sessions.acquire(now, &self.pool, shards_group)?;
        let statement = plan::parse(&state, &text)?;
        let mut wanted = plan::requests(&state, &statement)?;
        let needs_only_tables = matches!(wanted.as_slice(), [] | [SessionRequest::Tables(_)]);
        let may_be_cached =
            text.len() <= CACHED_TEXT_BYTES_MAX && needs_only_tables && !is_prepared;
        // A gap-filling statement reads its time range from its conditions.
        let may_move_conditions = may_be_cached && !is_named(&text, "gapfill");
        let tables = take_known_tables(&mut wanted, tables, &text);
        let preparing = Preparing {
            engine: self.clone(),
            parameters,
            is_prepared,
            shards_group,
            state,
            statement,
            may_be_cached,
            may_move_conditions,
            missing: wanted.len(),
            unsent: wanted,
            tables,
            system: SystemRows::new(),
        };
        let turns = Turns::new().map_err(|error| QueryError::internal(error.to_string()))?;
        let stage = QueryStage::Preparing(Box::new(preparing));
        Ok(Query { exchange: Arc::default(), stage, turns })
    }
}

/// The result of a step.
#[derive(Debug, Default)]
pub struct Step {
    /// The requests that the query needs to continue. Each request is returned only once.
    pub wanted: Vec<SessionRequest>,
    /// The scans that need no more pages.
    pub cancelled: Vec<u64>,
    /// The columns of the result, in the first step in which they are known.
    pub schema: Option<SchemaRef>,
    /// The parameters of a statement that is only prepared, in the same step as `schema`.
    pub parameters: Option<SchemaRef>,
    /// The next rows of the result.
    pub batches: Vec<RecordBatch>,
    /// Whether the query can continue without further replies.
    pub can_continue: bool,
    /// Whether the step stopped at its work limit.
    pub is_cut_short: bool,
    /// Whether the result is complete.
    pub is_done: bool,
}

/// A running query. Dropping the query cancels it.
#[derive(Debug)]
pub struct Query {
    exchange: Arc<PageExchange>,
    stage: QueryStage,
    /// This field must be the last field, so that tasks are dropped while the exchange still
    /// exists.
    turns: Turns,
}

/// The stage of a query.
#[derive(Debug)]
enum QueryStage {
    /// The query is waiting for the columns of its tables.
    Preparing(Box<Preparing>),
    /// The plan is running in a task, which sends events.
    Running(Receiver<Event>, JoinHandle<()>),
    Done,
}

#[derive(Debug)]
struct Preparing {
    engine: Engine,
    parameters: Vec<(String, Parameter)>,
    /// Whether the caller also needs the types of the parameters.
    is_prepared: bool,
    /// Whether shards compute aggregates, and select the first or last rows of groups.
    shards_group: bool,
    state: SessionState,
    statement: Statement,
    /// Whether the cache may contain the plan of the statement.
    may_be_cached: bool,
    /// Whether conditions may be moved to the scan before the statement is planned.
    may_move_conditions: bool,
    /// The requests that have not been returned by a step yet.
    unsent: Vec<SessionRequest>,
    /// The number of replies that have not arrived yet.
    missing: usize,
    tables: Vec<TableSchema>,
    system: SystemRows,
}

#[derive(Debug)]
enum Event {
    Schema { columns: SchemaRef, parameters: Option<SchemaRef> },
    Batch(RecordBatch),
    Failed(QueryError),
}

impl Query {
    /// Processes `replies`, and runs the query until it needs another reply. Replies may arrive in
    /// any order and in several steps.
    ///
    /// # Errors
    /// Returns the error that ended the query.
    pub fn step(&mut self, replies: Vec<SessionReply>) -> Result<Step, QueryError> {
        let step = self.resume(replies);
        if step.as_ref().map_or(true, |step| step.is_done) {
            self.stage = QueryStage::Done;
        }
        step
    }

    fn resume(&mut self, replies: Vec<SessionReply>) -> Result<Step, QueryError> {
        let mut replies = VecDeque::from(replies);
        if let QueryStage::Preparing(preparing) = &mut self.stage {
            while let Some(reply) = replies.pop_front() {
                preparing.add_reply(reply)?;
            }
            if preparing.missing > 0 {
                let wanted = std::mem::take(&mut preparing.unsent);
                return Ok(Step { wanted, ..Step::default() });
            }
            self.begin();
        }
        self.deliver(replies);
        self.turn()
    }

    /// Stores `replies` for the next step of a running plan.
    pub(crate) fn deliver(&self, replies: impl IntoIterator<Item = SessionReply>) {
        for reply in replies {
            match reply {
                SessionReply::Page(page) => self.exchange.put(page),
                SessionReply::Failed { status, message } => {
                    self.exchange.fail(QueryError { status, message });
                }
                SessionReply::Tables(_) | SessionReply::System(..) => {}
            }
        }
    }

    /// Starts the task that plans and executes the statement.
    fn begin(&mut self) {
        let (events, receiver) = channel(BATCHES_WAITING_MAX);
        let pace = self.turns.pace();
        let stage = std::mem::replace(&mut self.stage, QueryStage::Done);
        if let QueryStage::Preparing(preparing) = stage {
            let exchange = Arc::clone(&self.exchange);
            let task = self.turns.spawn(async move {
                if let Err(error) = preparing.run(exchange, pace, &events).await {
                    // Sending fails only if the query was dropped.
                    let _ = events.send(Event::Failed(error)).await;
                }
            });
            self.stage = QueryStage::Running(receiver, task);
        }
    }

    fn turn(&mut self) -> Result<Step, QueryError> {
        let QueryStage::Running(events, task) = &mut self.stage else {
            return Ok(Step { is_done: true, ..Step::default() });
        };
        let is_cut_short = self.turns.turn();
        let mut step = Step { is_cut_short, ..Step::default() };
        // If the channel was full, its sender continues in the next turn. Otherwise, no sender is
        // blocked.
        let was_full = events.len() == BATCHES_WAITING_MAX;
        while let Ok(event) = events.try_recv() {
            match event {
                Event::Schema { columns, parameters } => {
                    (step.schema, step.parameters) = (Some(columns), parameters);
                }
                Event::Batch(batch) => step.batches.push(batch),
                Event::Failed(error) => return Err(error),
            }
        }
        step.is_done = events.is_closed() && events.is_empty();
        if step.is_done && self.turns.has_panicked(task) {
            return Err(QueryError::internal(
                "the statement ended with an error of the SQL engine",
            ));
        }
        step.wanted = self.exchange.wanted();
        step.cancelled = self.exchange.cancelled();
        let has_brought = step.schema.is_some() || !step.batches.is_empty();
        let is_hungry = self.exchange.has_demand();
        let can_continue = was_full || is_cut_short || (has_brought && !is_hungry);
        step.can_continue = !step.is_done && can_continue;
        if !step.is_done && !has_brought && !is_hungry && !is_cut_short {
            return Err(QueryError::internal("the plan stopped without a request for data"));
        }
        Ok(step)
    }

    /// Returns the work since the last call, in units of `QUERY_CPU_MS_MAX`.
    pub fn take_work(&self) -> u64 {
        self.turns.take_work()
    }

    /// Returns the numbers of tasks and scans that still exist. Both numbers are 0 after the end of
    /// the query.
    pub fn remaining(&self) -> (usize, usize) {
        (self.turns.tasks(), self.exchange.open_scans())
    }
}

/// Returns the requested tables that are already in `tables`, and removes the request for them.
/// `tables` contains the tables whose names occur in the text.
fn take_known_tables(
    wanted: &mut Vec<SessionRequest>,
    tables: Option<Vec<TableSchema>>,
    text: &str,
) -> Vec<TableSchema> {
    let (Some(mut tables), Some(SessionRequest::Tables(names))) = (tables, wanted.first()) else {
        return Vec::new();
    };
    if !names.iter().all(|name| is_named(text, name)) {
        return Vec::new();
    }
    tables.retain(|table| names.contains(&table.name));
    wanted.remove(0);
    tables
}

/// Returns the next rows. Joins small batches that are ready: a cross join returns a batch for each
/// row of its left side, and each turn sends only a few batches.
async fn next_rows(
    rows: &mut Fuse<SendableRecordBatchStream>,
) -> Result<Option<RecordBatch>, QueryError> {
    let Some(first) = rows.next().await.transpose()? else { return Ok(None) };
    let schema = rows.get_ref().schema();
    let (mut count, mut bytes) = (first.num_rows(), sent_bytes(&first));
    let mut batches = vec![first];
    while count < JOINED_ROWS_MIN
        && bytes < PIECE_BYTES
        && let Some(Some(batch)) = rows.next().now_or_never()
    {
        let batch = batch?;
        count += batch.num_rows();
        bytes += sent_bytes(&batch);
        batches.push(batch);
    }
    match batches.as_slice() {
        [_] => Ok(batches.pop()),
        many => Ok(Some(concat_batches(&schema, many)?)),
    }
}

fn sent_bytes(batch: &RecordBatch) -> usize {
    batch_bytes(batch) + batch.num_rows() * row_tag_bytes(batch)
}

/// Returns the maximum size of the tags of one row, in bytes.
fn row_tag_bytes(batch: &RecordBatch) -> usize {
    let is_tag = |data_type: &DataType| matches!(data_type, DataType::Dictionary(..));
    let tags = batch.columns().iter().filter(|column| is_tag(column.data_type()));
    tags.map(|tag| largest_value_bytes(tag)).sum()
}

impl Preparing {
    fn add_reply(&mut self, reply: SessionReply) -> Result<(), QueryError> {
        match reply {
            SessionReply::Tables(tables) => self.tables = tables,
            SessionReply::System(table, rows) => drop(self.system.insert(table, rows)),
            SessionReply::Failed { status, message } => {
                return Err(QueryError { status, message });
            }
            SessionReply::Page(_) => return Ok(()),
        }
        self.missing = self.missing.saturating_sub(1);
        Ok(())
    }

    async fn run(
        self,
        exchange: Arc<PageExchange>,
        pace: Arc<Pace>,
        events: &Sender<Event>,
    ) -> Result<(), QueryError> {
        let (plan, filter) = self.plan().await?;
        let (columns, parameters) = (plan.columns(), plan.parameters());
        let mut rows = plan.execute(filter, exchange, pace)?.fuse();
        if events.send(Event::Schema { columns, parameters }).await.is_err() {
            return Ok(());
        }
        while let Some(batch) = next_rows(&mut rows).await? {
            let count = batch.num_rows();
            let sent = (SENT_TAG_BYTES_MAX / row_tag_bytes(&batch).max(1)).max(1);
            for start in (0..count.max(1)).step_by(sent) {
                let piece = batch.slice(start, sent.min(count - start));
                if events.send(Event::Batch(piece)).await.is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Returns the plan of the statement, and the conditions that the plan does not contain. Caches
    /// the plan if later executions can use it.
    async fn plan(mut self) -> Result<(Plan, RowFilter), QueryError> {
        let filter = match self.tables.as_slice() {
            [table] if self.may_move_conditions => {
                let constants = Constants { state: &self.state, parameters: &self.parameters };
                RowFilter::take_from(&mut self.statement, table, constants)
            }
            _ => RowFilter::default(),
        };
        if !self.is_prepared && !plan::has_placeholders(&self.statement) {
            self.parameters.clear();
        }
        self.may_be_cached &= self.parameters.is_empty();
        let Self { engine, parameters, is_prepared, shards_group, state, .. } = self;
        let (may_be_cached, system) = (self.may_be_cached, self.system);
        let inputs = PlanInputs { statement: self.statement, shards_group, tables: self.tables };
        let cached = match may_be_cached {
            true => engine.plans.find(&inputs)?,
            false => None,
        };
        let planned = match cached {
            Some(plan) => Ok(plan),
            None => {
                let PlanInputs { statement, tables, .. } = &inputs;
                let statement = statement.clone();
                let plan =
                    plan::plan(&state, statement, parameters, is_prepared, tables, &system).await;
                if let Ok(plan) = &plan
                    && may_be_cached
                    && plan.is_reusable
                {
                    engine.plans.keep(inputs, plan)?;
                }
                plan
            }
        };
        engine.sessions.release(shards_group, state);
        Ok((planned?, filter))
    }
}
