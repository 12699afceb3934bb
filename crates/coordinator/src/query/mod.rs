//! Executes SELECT and SHOW: loads the schemas, plans the query, requests pages from every shard
//! that may contain rows, and returns the merged result piece by piece. The query begins when
//! memory is available ([`tidemark_query::admission`]).
//!
//! A shard with newer state replies "stale". If no piece of the result was returned yet, the query
//! starts again with the owners' state. Otherwise the query continues if the newer state contains
//! only additions. If the plan fails, or may return rows before it calls a shard of each policy, no
//! shard can report a stale cache in time. The query then loads the owners' state, and plans again
//! if this state differs (PROTOCOL.md rule 6).

mod plan;
mod shard_pages;

use std::collections::BTreeSet;

use super::error::{Error, Result};
use super::explain::LINE_WORK;
use super::live_queries::{LiveQueryReport, is_killed};
use super::load_schemas::{Load, Loaded, Retries, SchemaSelection};
use super::session::Session;
use super::{Context, Io, Output, Pieces};
pub(super) use plan::shards_of;
use plan::{plan_search, plan_select, plan_show, remove_nonempty, selected_policies};
pub(super) use shard_pages::check_read_limits;
use shard_pages::{QueryRun, combine_first_pages, is_continuation};
use tidemark_engine::protocol::call::Address;
use tidemark_engine::protocol::envelope;
use tidemark_engine::protocol::event::Unavailable;
use tidemark_engine::protocol::round::{CallResult, Request};
use tidemark_engine::protocol::shard::{FromShard, ShardRefusal, ToShard};
use tidemark_influxql::ast::{ExplainStatement, SelectStatement, Statement};
use tidemark_model::grant::{PermissionKind, Scope};
use tidemark_model::limits::{QUERY_WAIT_NS_MAX, QUERY_WAIT_PAUSE_MS};
use tidemark_model::time::MS_NS;
use tidemark_query::admission::{QueryReservation, RequestReservation};
use tidemark_query::compile::{self, ClashPosition};
use tidemark_query::error::QueryError;
use tidemark_query::executor::{ExecStep, PageNeed, RowPosition};
use tidemark_query::result::SeriesChunk;
use tidemark_query::source::{self, SourceName};

#[derive(Clone, Debug)]
enum ReadStatement {
    Select(Box<SelectStatement>),
    Show(Statement),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExplainKind {
    /// EXPLAIN, which reads no rows.
    Plan,
    /// EXPLAIN ANALYZE.
    Analyze,
}

/// A SELECT, SHOW or EXPLAIN.
pub struct Query {
    statement: ReadStatement,
    session: Session,
    sources: Vec<SourceName>,
    explain: Option<ExplainKind>,
    after: Option<RowPosition>,
    /// The result for a missing database; `None` if a missing database is an error.
    if_missing: Option<Option<SeriesChunk>>,
    report: LiveQueryReport,
}

impl Query {
    /// Prepares a SELECT.
    pub fn select(select: SelectStatement, session: Session) -> Result<Self, QueryError> {
        let sources = source::sources(&select, session.defaults())?;
        Ok(Self::new(ReadStatement::Select(Box::new(select)), session, sources))
    }

    /// Makes the result start after `row`
    /// ([`Executor::begin_after`](tidemark_query::executor::Executor)).
    #[must_use]
    pub fn after(mut self, row: Option<RowPosition>) -> Self {
        self.after = row;
        self
    }

    /// Prepares EXPLAIN or EXPLAIN ANALYZE. INTO is ignored.
    pub fn explain(explain: ExplainStatement, session: Session) -> Result<Self, QueryError> {
        let mut query = Self::select(*explain.select, session)?;
        query.explain =
            Some(if explain.analyze { ExplainKind::Analyze } else { ExplainKind::Plan });
        Ok(query)
    }

    /// Prepares a SHOW statement on `database`. [`tidemark_query::metadata::database`] must support
    /// the statement.
    pub fn show(statement: Statement, database: String, session: Session) -> Self {
        let source = SourceName { database, policy: None };
        Self::new(ReadStatement::Show(statement), session, vec![source])
    }

    /// Sets the result for a missing database. By default, a missing database is an error.
    pub(super) fn or_if_missing(mut self, if_missing: Option<Option<SeriesChunk>>) -> Self {
        self.if_missing = if_missing;
        self
    }

    fn new(statement: ReadStatement, mut session: Session, sources: Vec<SourceName>) -> Self {
        session.work = session.work.next_statement();
        let report = LiveQueryReport::new(&session);
        let (explain, after, if_missing) = (None, None, None);
        Self { statement, session, sources, explain, after, if_missing, report }
    }

    /// Executes the query.
    pub fn execute(mut self) -> Pieces<SeriesChunk> {
        let if_missing = self.if_missing.take();
        Pieces::new(|io, output| async move {
            let retries = Retries::default();
            let mut running = RunningQuery { query: self, io, output, emitted: false, retries };
            let result = running.run().await;
            if let Some(request) = running.query.report.end() {
                running.io.calls(vec![request]).await;
            }
            match (result, if_missing) {
                (Err(Error::DatabaseNotFound(_)), Some(result)) => {
                    if let Some(chunk) = result {
                        running.output.emit(chunk).await;
                    }
                    Ok(())
                }
                (result, _) => result,
            }
        })
    }
}

/// A query in progress.
struct RunningQuery {
    query: Query,
    io: Io,
    output: Output<SeriesChunk>,
    emitted: bool,
    retries: Retries,
}

enum Planned {
    Run(QueryRun),
    /// The plan depends on which of these measurements have rows. The run searches for the rows.
    Search(QueryRun, BTreeSet<ClashPosition>),
}

enum Piece {
    Chunk(SeriesChunk),
    /// A shard has newer state.
    Stale,
    End,
}

impl RunningQuery {
    /// Restarts a query that fails for lack of memory, unless a piece was returned.
    async fn run(&mut self) -> Result<()> {
        loop {
            let result = self.attempt().await;
            let reservation = &self.query.session.reservation;
            if self.emitted || !may_restart(&result, reservation) {
                return result;
            }
        }
    }

    async fn attempt(&mut self) -> Result<()> {
        self.wait_for_memory().await?;
        let mut from_owner = false;
        loop {
            let run = self.plan(from_owner).await?;
            if self.emit(run).await? {
                return Ok(());
            }
            from_owner = true;
        }
    }

    async fn wait_for_memory(&self) -> Result<()> {
        let work = &self.query.session.work;
        let mut beginning = QueryWait::default();
        loop {
            let pause = self.io.with(|context| {
                work.set_limits(context.platform.limits());
                // Earlier statements of the request may have used up a whole turn.
                if work.pauses()? {
                    return Ok(Some(Request::pause(0)));
                }
                beginning.wait(context, self.reservation(context))
            })?;
            match pause? {
                Some(pause) => drop(self.io.calls(vec![pause]).await),
                None => return Ok(()),
            }
        }
    }

    fn reservation(&self, context: &Context<'_>) -> &QueryReservation {
        let database = self.query.sources.first().map_or("", |source| &source.database);
        self.query.session.reservation.get_or_create(context.queries, database)
    }

    /// Plans the query with the cached state, or with the owners' state if `from_owner` is true.
    async fn plan(&mut self, from_owner: bool) -> Result<QueryRun> {
        let mut loaded = self.load(from_owner).await?;
        let mut empty = None;
        loop {
            let planned = match self.plan_with(&loaded, empty.as_ref()).await {
                Ok(Planned::Search(run, clashes)) => {
                    empty = self.find_empty(run, clashes).await?;
                    loaded = self.load(empty.is_none()).await?;
                    continue;
                }
                Ok(Planned::Run(run)) => Ok(run),
                Err(error) => Err(error),
            };
            match self.newer_state(&loaded, &planned).await? {
                Some(newer) => (loaded, empty) = (newer, None),
                None => {
                    let mut run = planned?;
                    self.query.session.columns.replace(run.columns.take());
                    return Ok(run);
                }
            }
        }
    }

    /// Returns the owners' state if it differs from the state of the plan. Loads it only if no
    /// shard can report a stale cache in time: if the plan failed, or may return rows before it
    /// calls a shard of each policy.
    async fn newer_state(
        &self,
        loaded: &[Loaded],
        planned: &Result<QueryRun>,
    ) -> Result<Option<Vec<Loaded>>> {
        let all_fresh = loaded.iter().all(|loaded| loaded.fresh);
        if all_fresh || planned.as_ref().is_ok_and(|run| run.reads_all_shards) {
            return Ok(None);
        }
        let owners = self.load(true).await?;
        let is_same = loaded.iter().zip(&owners).all(|(used, owner)| used.has_state_of(owner));
        Ok((!is_same).then_some(owners))
    }

    /// Loads the sources, in their order. The error for a missing database takes precedence over
    /// the error for a missing policy.
    async fn load(&self, from_owner: bool) -> Result<Vec<Loaded>> {
        let Query { sources, session, statement, .. } = &self.query;
        let mut all = Vec::with_capacity(sources.len());
        let mut missing_policy = None;
        for SourceName { database, policy } in sources {
            let selection = match statement {
                ReadStatement::Select(_) => SchemaSelection::Policy(policy.clone()),
                ReadStatement::Show(_) => SchemaSelection::All,
            };
            let load = match from_owner {
                true => Load::from_owner(database, selection),
                false => Load::cached(database, selection),
            };
            match load.for_caller(&session.principal).run(&self.io).await {
                Err(Error::PolicyNotFound(name)) => _ = missing_policy.get_or_insert(name),
                loaded => all.push(loaded?),
            }
        }
        let Some(name) = missing_policy else { return Ok(all) };
        // An error in the statement takes precedence, too.
        if let ReadStatement::Select(select) = statement {
            self.io.with(|context| compile::check(select, context.platform.now_ns()))??;
        }
        Err(Error::PolicyNotFound(name))
    }

    /// Plans the query with this state. `empty` contains the measurements without rows. Without
    /// `empty`, the result may be a search that finds these measurements.
    async fn plan_with(
        &self,
        loaded: &[Loaded],
        empty: Option<&BTreeSet<ClashPosition>>,
    ) -> Result<Planned> {
        self.check_policies(loaded)?;
        let Query { statement, session, sources, .. } = &self.query;
        let select = match statement {
            ReadStatement::Select(select) => select,
            ReadStatement::Show(statement) => {
                return Ok(Planned::Run(self.plan_show(loaded, statement).await?));
            }
        };
        let selected = selected_policies(sources, loaded);
        let reservation = self.io.with(|context| self.reservation(context).clone())?;
        if empty.is_none() {
            let now_ns = self.io.now_ns()?;
            let found = plan_search(select, session, &selected, &reservation, now_ns);
            if let Some((run, clashes)) = self.io.in_turns(&session.work, found).await?? {
                return Ok(Planned::Search(run, clashes));
            }
        }
        let planned = plan_select(&self.query, select, &self.io, &selected, empty, &reservation);
        Ok(Planned::Run(self.io.in_turns(&session.work, planned).await??))
    }

    async fn plan_show(&self, loaded: &[Loaded], statement: &Statement) -> Result<QueryRun> {
        let Query { session, sources, .. } = &self.query;
        let database = sources.first().map_or("", |source| &source.database);
        let permissions = loaded.first().map(|loaded| &loaded.permissions);
        let scope =
            permissions.map(|permissions| permissions.scope(PermissionKind::Read, database));
        let scope = scope.unwrap_or(Scope::None);
        if let (Scope::None, Some(permissions)) = (&scope, permissions) {
            permissions.check(PermissionKind::Read, database, "")?;
        }
        let (reservation, now_ns) = self
            .io
            .with(|context| (self.reservation(context).clone(), context.platform.now_ns()))?;
        let planned = plan_show(statement, loaded, session, &scope, &reservation, now_ns);
        Ok(self.io.in_turns(&session.work, planned).await??)
    }

    /// Checks that the caller may read each source's policy, which is known only after the load.
    fn check_policies(&self, loaded: &[Loaded]) -> Result<()> {
        for (source, loaded) in self.query.sources.iter().zip(loaded) {
            // SHOW statements list only the readable part of the database.
            if let (ReadStatement::Select(_), Some((policy, _))) =
                (&self.query.statement, loaded.policy())
            {
                loaded.permissions.check(PermissionKind::Read, &source.database, &policy.name)?;
            }
        }
        Ok(())
    }

    /// Returns the measurements of `clashes` that have no rows; `None` if a shard has newer state.
    async fn find_empty(
        &mut self,
        mut run: QueryRun,
        mut clashes: BTreeSet<ClashPosition>,
    ) -> Result<Option<BTreeSet<ClashPosition>>> {
        loop {
            match self.next_piece(&mut run).await? {
                Piece::Chunk(chunk) => remove_nonempty(&mut clashes, &chunk),
                Piece::Stale => return Ok(None),
                Piece::End => return Ok(Some(clashes)),
            }
        }
    }

    /// Emits the result. Returns `false` if a shard has newer state and the query must be planned
    /// again.
    async fn emit(&mut self, mut run: QueryRun) -> Result<bool> {
        loop {
            match self.next_piece(&mut run).await? {
                Piece::Chunk(_) if run.explain.is_some() => {}
                Piece::Chunk(chunk) => {
                    self.emitted = true;
                    self.output.emit(chunk).await;
                }
                Piece::Stale if self.emitted => self.renew(&mut run).await?,
                Piece::Stale => return Ok(false),
                Piece::End => break,
            }
        }
        if let Some(plan) = run.explain.take() {
            drop(run);
            let (session, now_ns) = (&self.query.session, self.io.now_ns()?);
            let lines = plan.lines(session.now_ns, now_ns, &session.work);
            let lines = self.io.in_turns(&session.work, lines).await?;
            for chunk in plan.chunks(&lines) {
                session.work.add(LINE_WORK * chunk.rows);
                self.emitted = true;
                self.output.emit(chunk).await;
                // The limit of work must not end a partly sent result.
                if session.work.is_due() {
                    session.work.rest();
                    self.io.pause(0).await;
                }
            }
        }
        Ok(true)
    }

    /// Prepares a partly returned result for newer state. The result does not include rows that
    /// were added in the meantime. If shards were moved or a policy was dropped, the query fails,
    /// because it could read rows twice or miss rows.
    async fn renew(&self, run: &mut QueryRun) -> Result<()> {
        let loaded = self.load(true).await?;
        self.check_policies(&loaded)?;
        run.streams.update_stamps(|stamp| {
            let found = loaded.iter().find(|found| found.schema(stamp.policy).is_some());
            match found.is_some_and(|found| found.renew(stamp)) {
                true => Ok(()),
                false => Err(Unavailable::Changing.into()),
            }
        })
    }

    async fn next_piece(&mut self, run: &mut QueryRun) -> Result<Piece> {
        loop {
            match run.next()? {
                ExecStep::Chunk(chunk) => return Ok(Piece::Chunk(chunk)),
                ExecStep::Done => return Ok(Piece::End),
                ExecStep::Pause => self.io.pause(0).await,
                ExecStep::Need(needs) => {
                    if !self.read_pages(run, needs).await? {
                        self.retries.count()?;
                        return Ok(Piece::Stale);
                    }
                    self.retries = Retries::default();
                }
            }
        }
    }

    /// Requests pages and passes them to `run`. Returns `false` if a shard has newer state.
    async fn read_pages(&self, run: &mut QueryRun, needs: Vec<PageNeed<ToShard>>) -> Result<bool> {
        let Query { statement, session, sources, report: listed, .. } = &self.query;
        let further = needs.iter().any(|need| is_continuation(&need.request));
        let report = self.io.with(|context| {
            if further && !self.emitted {
                self.reservation(context).become_long().map_err(QueryError::from)?;
            }
            let describe = || (statement.text(), run.shards());
            Ok::<_, Error>(listed.report(context, session, further, describe))
        })??;
        let (mut requested, mut requests) = (Vec::new(), Vec::new());
        for (streams, mut message) in combine_first_pages(needs, run) {
            if let ToShard::Scan { query, .. } | ToShard::Summarise { query, .. } = &mut message {
                *query = listed.precedence(run.reads.points);
            }
            let shard = streams.first().and_then(|&stream| run.shard_of(stream));
            let Some((shard, _)) = shard else { continue };
            let to = Address::Shard(shard.clone());
            requests.push(Request::new(to, envelope::encode(&message)));
            requested.push(streams);
        }
        if requests.is_empty() {
            return Err(Error::unexpected_reply());
        }
        requests.extend(report);
        session.work.rest();
        let mut replies = self.io.calls(requests).await;
        // If the query sent a report, the last reply belongs to the report.
        if replies.len() > requested.len() && replies.pop().is_some_and(is_killed) {
            return Err(Error::Interrupted);
        }
        let databases: Vec<&str> = sources.iter().map(|s| s.database.as_str()).collect();
        let databases = databases.join(", ");
        let mut is_current = true;
        for (streams, reply) in requested.into_iter().zip(replies) {
            match shard_page(reply, &session.principal.name, &databases)? {
                None => is_current = false,
                Some(reply) => run.supply(&streams, reply)?,
            }
            if session.work.pauses()? {
                self.io.pause(0).await;
            }
        }
        Ok(is_current)
    }
}

/// Decodes a shard's reply to a page request. An error about a rate limit names `caller` or
/// the query's `databases`. Returns `None` if the shard is stale.
pub(super) fn shard_page(
    reply: CallResult,
    caller: &str,
    databases: &str,
) -> Result<Option<FromShard>> {
    match envelope::decode_reply::<FromShard>(reply)? {
        FromShard::Stale => Ok(None),
        FromShard::Refused(ShardRefusal::Damaged { block }) => Err(Error::Damaged { block }),
        FromShard::Refused(ShardRefusal::Interrupted) => Err(Error::Interrupted),
        FromShard::Refused(ShardRefusal::RateExceeded(over)) => {
            Err(Error::over_rate(over, caller, databases))
        }
        reply @ (FromShard::Refused(_) | FromShard::Unavailable(_)) => Err(reply.into()),
        reply => Ok(Some(reply)),
    }
}

impl ReadStatement {
    fn text(&self) -> String {
        match self {
            Self::Select(select) => select.to_string(),
            Self::Show(show) => show.to_string(),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct QueryWait {
    waited_ns: i64,
}

impl QueryWait {
    /// Returns the pause before the next check; `None` if the query may begin. Returns an error if
    /// other queries use the memory for too long, or if too many queries wait.
    pub(super) fn wait(
        &mut self,
        context: &Context<'_>,
        reservation: &QueryReservation,
    ) -> Result<Option<Request>> {
        if reservation.start(context.platform.now_ns()) {
            return Ok(None);
        }
        if self.waited_ns >= QUERY_WAIT_NS_MAX || context.queries.is_crowded() {
            return Err(Unavailable::Crowded.into());
        }
        self.waited_ns += i64::from(QUERY_WAIT_PAUSE_MS) * MS_NS;
        Ok(Some(Request::pause(QUERY_WAIT_PAUSE_MS)))
    }
}

/// Whether a query that failed for lack of memory restarts when enough memory is free. In this case
/// the query has already released its own memory.
pub(super) fn may_restart<T>(result: &Result<T>, reservation: &RequestReservation) -> bool {
    let is_refused = matches!(result, Err(Error::Unavailable(Unavailable::Crowded)));
    is_refused && reservation.get().is_some_and(QueryReservation::restart)
}

#[cfg(test)]
mod tests;
