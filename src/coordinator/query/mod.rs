//! Executes SELECT and SHOW: loads the schemas, plans the query, requests pages from every shard
//! that may contain rows, and returns the merged result piece by piece. The query begins when
//! memory is available ([`crate::admission`]).
//!
//! A shard with newer state replies "stale". If no piece of the result was returned yet, the query
//! starts again with the owners' state. Otherwise the query continues if the newer state contains
//! only additions. A statement is also planned again with the owners' state if the plan calls no
//! shard of a policy, because no shard could have reported a stale cache (PROTOCOL.md rule 6).

mod nonempty_measurements;
mod shard_pages;
mod select;
mod show;
mod sources;

use super::error::Error;
use super::live_query_report::{self, LiveQueryReport};
use super::load_schemas::{Loaded, Want};
use super::query_wait::{self, QueryWait};
use super::retries::Retries;
use super::session::Session;
use super::{Context, RoundMachine, Task, Turn};
use crate::admission::QueryReservation;
use crate::influxql::ast::{ExplainStatement, SelectStatement, Statement};
use crate::model::grant::{PermissionKind, Scope};
use crate::protocol::call::Address;
use crate::protocol::envelope;
use crate::protocol::host::Unavailable;
use crate::protocol::round::{CallResult, Next, Replies, Request, Round};
use crate::protocol::shard::{FromShard, ShardRefusal, ToShard};
use crate::query::compile;
use crate::query::error::QueryError;
use crate::query::executor::{RowPosition, StreamId};
use crate::query::result::{ResultColumns, SeriesChunk};
use crate::query::source::{self, SourceName};
use nonempty_measurements::NonemptyMeasurements;
use select::SelectPlanner;
use shard_pages::{PlannedRun, QueryRun, RunStep, gather, resumes};
use show::plan_show;
pub(super) use sources::shards_of;
use sources::{QuerySource, selected_policies};

#[derive(Clone, Debug)]
enum ReadStatement {
    Select(Box<SelectStatement>),
    Show(Statement),
}

/// A SELECT or SHOW in progress. Returns its result as [`super::statement::Execution`] does.
#[derive(Debug)]
pub struct Query {
    question: ReadStatement,
    session: Session,
    sources: Vec<QuerySource>,
    stage: QueryStage,
    round: Round,
    beginning: QueryWait,
    emitted: bool,
    /// The partly returned result, while the query loads the state that a stale shard requires.
    paused: Option<Box<QueryRun>>,
    retries: Retries,
    watch: LiveQueryReport,
    /// `Some(true)` for EXPLAIN ANALYZE, `Some(false)` for EXPLAIN, and `None` for other
    /// statements.
    explain: Option<bool>,
    /// The measurements that have rows, if the plan depends on them.
    nonempty: NonemptyMeasurements,
    after: Option<RowPosition>,
    columns: Option<ResultColumns>,
}

#[derive(Debug)]
enum QueryStage {
    Start,
    Load(QueryLoad),
    /// `requested` lists the streams of each call in progress. The list is empty after a piece was
    /// returned.
    Run {
        run: Box<QueryRun>,
        requested: Vec<Vec<StreamId>>,
    },
    /// The query waits until the Catalog has removed it from the list, and then ends with this
    /// result.
    Unlist(Box<QueryTurn>),
    Finished,
}

/// The loads of the sources, in the order of the sources.
#[derive(Debug)]
struct QueryLoad {
    load: Task<Loaded>,
    loaded: Vec<Loaded>,
    from_owner: bool,
}

type QueryTurn = Turn<Option<SeriesChunk>>;

impl Query {
    /// Prepares a SELECT.
    pub fn select(select: SelectStatement, session: Session) -> Result<Self, QueryError> {
        let names = source::sources(&select, session.defaults())?;
        let source = |name: SourceName| {
            let want = Want::Policy(name.policy);
            QuerySource { database: name.database, want }
        };
        let sources = names.into_iter().map(source).collect();
        Ok(Self::new(ReadStatement::Select(Box::new(select)), session, sources))
    }

    /// Makes the result start after `row`
    /// ([`Executor::begin_after`](crate::query::executor::Executor)).
    #[must_use]
    pub fn after(mut self, row: Option<RowPosition>) -> Self {
        self.after = row;
        self
    }

    /// Prepares EXPLAIN or EXPLAIN ANALYZE. As in 1.x, INTO is ignored.
    pub fn explain(explain: ExplainStatement, session: Session) -> Result<Self, QueryError> {
        let mut query = Self::select(*explain.select, session)?;
        query.explain = Some(explain.analyze);
        Ok(query)
    }

    /// Prepares a SHOW statement on `database`. [`crate::query::metadata::database`] must support
    /// the statement.
    pub fn show(statement: Statement, database: String, session: Session) -> Self {
        let source = QuerySource { database, want: Want::All };
        Self::new(ReadStatement::Show(statement), session, vec![source])
    }

    fn new(question: ReadStatement, mut session: Session, sources: Vec<QuerySource>) -> Self {
        session.work = session.work.next_statement();
        let (stage, round) = (QueryStage::Start, Round::default());
        Self {
            question,
            session,
            sources,
            stage,
            round,
            beginning: QueryWait::default(),
            emitted: false,
            paused: None,
            retries: Retries::default(),
            watch: LiveQueryReport::default(),
            explain: None,
            nonempty: NonemptyMeasurements::default(),
            after: None,
            columns: None,
        }
    }

    fn reservation(&self, context: &Context<'_>) -> QueryReservation {
        let database = self.sources.first().map_or("", |source| &source.database);
        self.session.reservation.enter(context.queries, database).clone()
    }

    fn begin(&mut self, context: &mut Context<'_>) -> QueryTurn {
        self.session.work.set_limits(context.platform.limits());
        // Earlier statements of the request may have used up a whole turn.
        if self.session.work.pauses()? {
            self.stage = QueryStage::Start;
            return Ok(Next::Calls(vec![Request::pause(0)]));
        }
        let reservation = self.reservation(context);
        match self.beginning.wait(context, &reservation)? {
            None => self.load_all(context, false),
            Some(pause) => {
                self.stage = QueryStage::Start;
                Ok(Next::Calls(vec![pause]))
            }
        }
    }

    fn load_all(&mut self, context: &mut Context<'_>, from_owner: bool) -> QueryTurn {
        self.load_next(context, Vec::new(), from_owner)
    }

    fn load_next(
        &mut self,
        context: &mut Context<'_>,
        loaded: Vec<Loaded>,
        from_owner: bool,
    ) -> QueryTurn {
        let Some(source) = self.sources.get(loaded.len()) else {
            return self.plan(context, &loaded, from_owner);
        };
        let load = source.load(from_owner, &self.session.principal).task();
        self.load(context, QueryLoad { load, loaded, from_owner }, Vec::new())
    }

    fn load(
        &mut self,
        context: &mut Context<'_>,
        mut loading: QueryLoad,
        replies: Replies,
    ) -> QueryTurn {
        match loading.load.take_turn(context, replies) {
            Ok(Next::Calls(requests)) => {
                self.stage = QueryStage::Load(loading);
                Ok(Next::Calls(requests))
            }
            Ok(Next::Reply(loaded)) => {
                loading.loaded.push(loaded);
                self.load_next(context, loading.loaded, loading.from_owner)
            }
            Err(error) => {
                // An error in the statement takes precedence over the error for a missing policy.
                if let (Error::PolicyNotFound(_), ReadStatement::Select(select)) =
                    (&error, &self.question)
                {
                    compile::check(select, context.platform.now_ns())?;
                }
                Err(error)
            }
        }
    }

    fn plan(
        &mut self,
        context: &mut Context<'_>,
        loaded: &[Loaded],
        from_owner: bool,
    ) -> QueryTurn {
        let all_fresh = from_owner || loaded.iter().all(|loaded| loaded.fresh);
        match self.check_policies(loaded) {
            Err(Error::Forbidden { .. }) if !all_fresh => return self.load_all(context, true),
            checked => checked?,
        }
        if let Some(run) = self.paused.take() {
            return self.proceed(context, run, loaded);
        }
        let now_ns = context.platform.now_ns();
        let (session, reservation) = (&self.session, &self.reservation(context));
        let planned = match &self.question {
            ReadStatement::Select(select) => {
                let selected = selected_policies(&self.sources, loaded);
                if let Some(survey) =
                    self.nonempty.find_run(select, session, &selected, reservation, now_ns)
                {
                    return self.advance(context, Box::new(survey?));
                }
                let (explain, nonempty, after) =
                    (self.explain, &self.nonempty, self.after.as_ref());
                let planner = SelectPlanner {
                    context,
                    select,
                    session,
                    explain,
                    nonempty,
                    after,
                    reservation,
                };
                planner.plan(&selected)
            }
            ReadStatement::Show(statement) => {
                let database = self.sources.first().map_or("", |source| &source.database);
                let standing = loaded.first().map(|loaded| &loaded.standing);
                let scope = standing.map(|standing| standing.scope(PermissionKind::Read, database));
                let scope = scope.unwrap_or(Scope::None);
                plan_show(statement, loaded, session, &scope, (reservation, now_ns))
            }
        };
        match planned {
            Ok(PlannedRun { run, reads_all_shards, columns }) if reads_all_shards || all_fresh => {
                self.columns = columns;
                self.advance(context, Box::new(run))
            }
            Err(error) if all_fresh => Err(error.into()),
            Ok(_) | Err(_) => self.load_all(context, true),
        }
    }

    /// Continues a partly returned result with newer state. The result does not include rows that
    /// were added in the meantime. If shards were moved or a policy was dropped, the query fails,
    /// because it could read rows twice or miss rows.
    fn proceed(
        &mut self,
        context: &mut Context<'_>,
        mut run: Box<QueryRun>,
        loaded: &[Loaded],
    ) -> QueryTurn {
        for (_, stamp) in run.streams.iter_mut().flatten() {
            let found = loaded.iter().find(|found| found.schema(stamp.policy).is_some());
            if !found.is_some_and(|found| found.renew(stamp)) {
                return Err(Unavailable::Changing.into());
            }
        }
        self.advance(context, run)
    }

    /// Checks that the caller may read each source's policy, which is known only after the load.
    fn check_policies(&self, loaded: &[Loaded]) -> Result<(), Error> {
        for (source, loaded) in self.sources.iter().zip(loaded) {
            // SHOW statements list only the readable part of the database.
            if let (ReadStatement::Select(_), Some((policy, _))) = (&self.question, loaded.policy())
            {
                loaded.standing.check(PermissionKind::Read, &source.database, &policy.name)?;
            }
        }
        Ok(())
    }

    fn advance(&mut self, context: &mut Context<'_>, mut run: Box<QueryRun>) -> QueryTurn {
        loop {
            match run.next()? {
                RunStep::Chunk(chunk) if self.nonempty.is_requested() => {
                    self.nonempty.remove_nonempty(&chunk)
                }
                RunStep::Done if self.nonempty.is_requested() => {
                    self.nonempty.settle();
                    return self.load_all(context, false);
                }
                RunStep::Done => {
                    let now_ns = context.platform.now_ns();
                    let began_ns = self.session.now_ns;
                    return Ok(Next::Reply(run.explain.map(|plan| plan.chunk(began_ns, now_ns))));
                }
                RunStep::Chunk(_) if run.explain.is_some() => {}
                RunStep::Chunk(chunk) => {
                    self.emitted = true;
                    self.stage = QueryStage::Run { run, requested: Vec::new() };
                    return Ok(Next::Reply(Some(chunk)));
                }
                RunStep::Need(needs) => return self.request_pages(context, run, needs),
                RunStep::Pause => {
                    self.stage = QueryStage::Run { run, requested: Vec::new() };
                    return Ok(Next::Calls(vec![Request::pause(0)]));
                }
            }
        }
    }

    fn request_pages(
        &mut self,
        context: &Context<'_>,
        run: Box<QueryRun>,
        needs: Vec<(StreamId, ToShard)>,
    ) -> QueryTurn {
        let further = needs.iter().any(|(_, message)| resumes(message));
        if further && !self.emitted {
            self.reservation(context).become_long().map_err(QueryError::from)?;
        }
        let question = &self.question;
        let describe = || (question.text(), run.shards());
        let report = self.watch.report(context, &self.session, further, describe);
        let (mut requested, mut requests) = (Vec::new(), Vec::new());
        for (streams, mut message) in gather(needs, &run) {
            if let ToShard::Scan { query, .. } | ToShard::Summarise { query, .. } = &mut message {
                *query = self.watch.precedence(run.reads.points());
            }
            let shard = streams.first().and_then(|&stream| run.stream(stream));
            let Some((shard, _)) = shard else { continue };
            let to = Address::Shard(shard.clone());
            requests.push(Request::new(to, envelope::encode(&message)));
            requested.push(streams);
        }
        if requests.is_empty() {
            return Err(Error::unexpected_reply());
        }
        requests.extend(report);
        self.session.work.rest();
        self.stage = QueryStage::Run { run, requested };
        Ok(Next::Calls(requests))
    }

    fn on_pages(
        &mut self,
        context: &mut Context<'_>,
        mut run: Box<QueryRun>,
        requested: Vec<Vec<StreamId>>,
        mut replies: Replies,
    ) -> QueryTurn {
        let mut stale = false;
        if replies.len() > requested.len()
            && replies.pop().is_some_and(live_query_report::is_killed)
        {
            return Err(Error::Interrupted);
        }
        let databases: Vec<&str> = self.sources.iter().map(|s| s.database.as_str()).collect();
        let databases = databases.join(", ");
        for (streams, reply) in requested.into_iter().zip(replies) {
            match shard_page(reply, &self.session.principal.name, &databases)? {
                None => stale = true,
                Some(reply) => run.supply(&streams, reply)?,
            }
        }
        if !stale {
            self.retries = Retries::default();
            return self.advance(context, run);
        }
        self.retries.count()?;
        self.nonempty = NonemptyMeasurements::default();
        self.paused = self.emitted.then_some(run);
        self.load_all(context, true)
    }

    fn take_turn(&mut self, context: &mut Context<'_>, replies: Replies) -> QueryTurn {
        match std::mem::replace(&mut self.stage, QueryStage::Finished) {
            QueryStage::Start => self.begin(context),
            QueryStage::Load(loading) => self.load(context, loading, replies),
            QueryStage::Run { run, requested } if requested.is_empty() => {
                self.advance(context, run)
            }
            QueryStage::Run { run, requested } => self.on_pages(context, run, requested, replies),
            QueryStage::Unlist(end) => *end,
            QueryStage::Finished => Ok(Next::Reply(None)),
        }
    }

    pub(super) fn columns(&self) -> Option<&ResultColumns> {
        self.columns.as_ref()
    }

    /// Stops the query. Returns the call that removes a listed query from the list.
    pub fn abandon(&mut self) -> Option<Request> {
        self.stage = QueryStage::Finished;
        self.watch.end()
    }
}

/// Decodes a shard's reply to a page request. An error about a rate limit names the caller `who` or
/// the query's `databases`. Returns `None` if the shard is stale.
pub(super) fn shard_page(
    reply: CallResult,
    who: &str,
    databases: &str,
) -> Result<Option<FromShard>, Error> {
    match envelope::decode_reply::<FromShard>(reply)? {
        FromShard::Stale => Ok(None),
        FromShard::Refused(ShardRefusal::Damaged { block }) => Err(Error::Damaged { block }),
        FromShard::Refused(ShardRefusal::Interrupted) => Err(Error::Interrupted),
        FromShard::Refused(ShardRefusal::RateExceeded(over)) => {
            Err(Error::over_rate(over, who, databases))
        }
        FromShard::Refused(reason) => Err(Error::Shard(reason.to_string())),
        FromShard::Unavailable(reason) => Err(reason.into()),
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

impl RoundMachine for Query {
    type Reply = Option<SeriesChunk>;

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn take_turn(&mut self, context: &mut Context<'_>, replies: Replies) -> QueryTurn {
        let mut turn = self.take_turn(context, replies);
        if !self.emitted && query_wait::may_restart(&turn, &self.session.reservation) {
            (self.beginning, self.nonempty) =
                (QueryWait::default(), NonemptyMeasurements::default());
            turn = self.begin(context);
        }
        if let Ok(Next::Calls(_) | Next::Reply(Some(_))) = turn {
            return turn;
        }
        match self.watch.end() {
            Some(request) => {
                self.stage = QueryStage::Unlist(Box::new(turn));
                Ok(Next::Calls(vec![request]))
            }
            None => turn,
        }
    }
}
