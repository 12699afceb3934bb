//! SELECT and SHOW: schemas in, scans out to every shard that may hold rows, pages back.
//!
//! A shard that knows better answers "stale": as long as nothing was answered the machine starts
//! again from the owners, later it goes on if nothing but additions came since. A plan that asks no
//! shard of a policy is made again from the owners' state too, since no shard could have said that
//! the cache is old (PROTOCOL.md rule 6).

mod living;
mod run;
mod show;

use std::ops::ControlFlow;

use super::error::Error;
use super::explain::Explain;
use super::load::{Load, Loaded, Progress, Want};
use super::statement::Session;
use super::watch::{self, Watch};
use super::{Context, Machine};
use crate::influxql::ast::{ExplainStatement, SelectStatement, Statement};
use crate::model::grant::Right;
use crate::model::limit::Limit;
use crate::model::limits::{STALE_RETRIES_MAX, UNLIMITED};
use crate::model::shard_map::Policy;
use crate::protocol::call::{Address, CallFailure, Reply, Step};
use crate::protocol::envelope;
use crate::protocol::host::Unavailable;
use crate::protocol::round::{Request, Round};
use crate::protocol::shard::{FromShard, ShardRefusal, ToShard};
use crate::query::compile;
use crate::query::error::QueryError;
use crate::query::executor::{Executor, StreamId};
use crate::query::plan::PlannedScan;
use crate::query::result::SeriesChunk;
use crate::query::source::{self, SourceName};
use living::{Living, views};
use run::{Merge, Next, Reads, Run, resumes};
use show::{counts, plan_show, shards_of};

/// What is asked.
#[derive(Clone, Debug)]
enum Question {
    Select(Box<SelectStatement>),
    Show(Statement),
}

/// A SELECT or SHOW in progress. Answers as [`super::statement::Execution`] does.
#[derive(Debug)]
pub struct Query {
    question: Question,
    session: Session,
    /// The databases and policies it reads.
    sources: Vec<(String, Want)>,
    stage: Stage,
    round: Round,
    /// Whether a piece of the result has gone out.
    emitted: bool,
    /// What is half answered, while its callers learn what a shard has seen.
    paused: Option<Box<Run>>,
    retries: u32,
    watch: Watch,
    /// EXPLAIN, and whether it analyses.
    explain: Option<bool>,
    /// Which measurements have rows, as far as that matters.
    living: Living,
}

#[derive(Debug)]
enum Stage {
    Start,
    Load {
        load: Load,
        loaded: Vec<Loaded>,
        from_owner: bool,
    },
    Run {
        run: Box<Run>,
        asked: Vec<StreamId>,
    },
    /// Off the list, then this.
    End(Box<Answer>),
    Finished,
}

/// A policy that a SELECT reads.
type Found<'l> = (SourceName, &'l Loaded, &'l Policy);
type Answer = Result<Option<SeriesChunk>, Error>;
type Flow = ControlFlow<Answer, Vec<Request>>;

impl Query {
    /// Prepares a SELECT.
    ///
    /// # Errors
    /// [`QueryError::DatabaseRequired`]
    pub fn select(select: SelectStatement, session: Session) -> Result<Self, QueryError> {
        let names = source::sources(&select, session.defaults())?;
        let want = |name: SourceName| (name.database, Want::Policy(name.policy));
        let sources = names.into_iter().map(want).collect();
        Ok(Self::new(Question::Select(Box::new(select)), session, sources))
    }

    /// Prepares EXPLAIN or EXPLAIN ANALYZE. INTO is not carried out (1.x).
    ///
    /// # Errors
    /// [`QueryError::DatabaseRequired`]
    pub fn explain(explain: ExplainStatement, session: Session) -> Result<Self, QueryError> {
        let mut query = Self::select(*explain.select, session)?;
        query.explain = Some(explain.analyze);
        Ok(query)
    }

    /// Prepares a SHOW statement about `database`, one that
    /// [`crate::query::metadata::database`] knows.
    pub fn show(statement: Statement, database: String, session: Session) -> Self {
        Self::new(Question::Show(statement), session, vec![(database, Want::All)])
    }

    fn new(question: Question, session: Session, sources: Vec<(String, Want)>) -> Self {
        let (stage, round) = (Stage::Start, Round::default());
        Self {
            question,
            session,
            sources,
            stage,
            round,
            emitted: false,
            paused: None,
            retries: 0,
            watch: Watch::default(),
            explain: None,
            living: Living::default(),
        }
    }

    /// Loads every source, one after the other, then plans.
    fn load_next(
        &mut self,
        context: &mut Context<'_>,
        loaded: Vec<Loaded>,
        from_owner: bool,
    ) -> Flow {
        let Some((database, want)) = self.sources.get(loaded.len()) else {
            return self.plan(context, loaded, from_owner);
        };
        let load = if from_owner {
            Load::from_owner(database, want.clone())
        } else {
            Load::cached(database, want.clone())
        };
        self.load(context, load, loaded, from_owner, None)
    }

    fn load(
        &mut self,
        context: &mut Context<'_>,
        mut load: Load,
        mut loaded: Vec<Loaded>,
        from_owner: bool,
        reply: Option<Result<Vec<u8>, CallFailure>>,
    ) -> Flow {
        match load.step(context, reply) {
            Progress::Ask(request) => {
                self.stage = Stage::Load { load, loaded, from_owner };
                Flow::Continue(vec![request])
            }
            Progress::Ready(Ok(found)) => {
                loaded.push(found);
                self.load_next(context, loaded, from_owner)
            }
            Progress::Ready(Err(error)) => {
                if let (Error::PolicyNotFound(_), Question::Select(select)) =
                    (&error, &self.question)
                    && let Err(wrong) = compile::check(select, context.platform.now_ns())
                {
                    return Flow::Break(Err(wrong.into()));
                }
                Flow::Break(Err(error))
            }
        }
    }

    fn plan(&mut self, context: &mut Context<'_>, loaded: Vec<Loaded>, from_owner: bool) -> Flow {
        let all_fresh = from_owner || loaded.iter().all(|found| found.fresh);
        if let Err(error) = self.check_policies(&loaded) {
            return Flow::Break(Err(error));
        }
        if let Some(run) = self.paused.take() {
            return self.proceed(context, run, &loaded);
        }
        if let Some(survey) = self.survey(context, &loaded) {
            return match survey {
                Ok(run) => self.go_on(context, run),
                Err(error) => Flow::Break(Err(error.into())),
            };
        }
        let run = match &self.question {
            Question::Select(select) => self.plan_select(context, select, &loaded),
            Question::Show(statement) => {
                let database = self.sources.first().map_or("", |(database, _)| database);
                let scope = self.session.principal.grants.scope(Right::Read, database);
                plan_show(statement, &loaded, &self.session, &scope, context.platform.now_ns())
            }
        };
        match run {
            Ok((run, asks_everyone)) if asks_everyone || all_fresh => {
                self.go_on(context, Box::new(run))
            }
            Err(error) if all_fresh => Flow::Break(Err(error.into())),
            Ok(_) | Err(_) => self.load_next(context, Vec::new(), true),
        }
    }

    /// Goes on with what is half answered. What was added since does not concern it; of what was
    /// moved or dropped it may have read one half here and one there.
    fn proceed(&mut self, context: &mut Context<'_>, mut run: Box<Run>, loaded: &[Loaded]) -> Flow {
        for (_, stamp) in run.streams.iter_mut().flatten() {
            let fresh = loaded.iter().find_map(|found| {
                let (_, schema) = found.schemas.iter().find(|(id, _)| *id == stamp.policy)?;
                Some((found.description.generation, schema.version, found.fresh))
            });
            match fresh {
                Some((generation, version, fresh)) if generation == stamp.generation => {
                    (stamp.schema_version, stamp.fresh) = (version, fresh);
                }
                _ => return Flow::Break(Err(Unavailable::Changing.into())),
            }
        }
        self.go_on(context, run)
    }

    /// Which policy a source means is known by now: whether the caller may read it, too.
    fn check_policies(&self, loaded: &[Loaded]) -> Result<(), Error> {
        let principal = &self.session.principal;
        for ((database, _), loaded) in self.sources.iter().zip(loaded) {
            // A list shows what of the database may be read.
            if let (Question::Select(_), Some((policy, _))) = (&self.question, loaded.policy()) {
                principal.check(Right::Read, database, &policy.name)?;
            }
        }
        Ok(())
    }

    /// The run, and whether each source has a shard that is asked.
    fn plan_select(
        &self,
        context: &Context<'_>,
        select: &SelectStatement,
        loaded: &[Loaded],
    ) -> Result<(Run, bool), QueryError> {
        let found = self.found(loaded);
        let schemas = self.living.schemas(&found);
        let policies = views(&found, &schemas, context.platform.now_ns());
        let plan = compile::compile(
            select,
            &compile::Context {
                defaults: self.session.defaults(),
                now_ns: self.session.now_ns,
                buckets_max: context.platform.limits().get(Limit::Buckets) as u64,
                policies: &policies,
            },
        )?;
        let mut asked = vec![false; found.len()];
        let mut streams = Vec::with_capacity(plan.scans.len());
        for scan in &plan.scans {
            let position = found.iter().position(|(name, ..)| *name == scan.source);
            let source = position.and_then(|position| found.get(position));
            let shards =
                source.map(|(_, loaded, policy)| shards_of(loaded, policy, scan.request.time));
            let shards = shards.unwrap_or_default();
            if let Some(asked) = position.and_then(|position| asked.get_mut(position)) {
                *asked |= !shards.is_empty();
            }
            streams.push(shards);
        }
        let explain = self.explain.map(|analyze| {
            let schema_of = |scan: &PlannedScan| {
                let source = found.iter().find(|(name, ..)| *name == scan.source);
                source.and_then(|(_, loaded, _)| loaded.policy()).map(|(_, schema)| schema.as_ref())
            };
            let now_ns = context.platform.now_ns();
            let text = select.to_string();
            Box::new(Explain::new(analyze, text, &plan, &schema_of, &counts(&streams), now_ns))
        });
        let limits = context.platform.limits();
        let limits = [Limit::Series, Limit::Points].map(|limit| limits.get(limit) as u64);
        let (mut merge, mut then) = (None, None);
        if self.explain == Some(false)
            || (self.explain.is_none() && limits[0] < u64::from(UNLIMITED))
        {
            merge = Some(Merge::Plan(plan.scans.iter().map(|s| s.request.clone()).collect()));
        }
        if self.explain != Some(false) {
            let executor = Box::new(Executor::new(plan, &counts(&streams)));
            match merge {
                // As in 1.x nothing is read of too many series.
                Some(_) => then = Some(executor),
                None => merge = Some(Merge::Rows(executor)),
            }
        }
        let merge = merge.unwrap_or(Merge::Plan(Vec::new()));
        let reads = Reads::new(limits, then);
        Ok((Run { merge, streams, explain, reads }, asked.into_iter().all(|asked| asked)))
    }

    /// The policies that a SELECT reads, in the order of its sources.
    fn found<'l>(&self, loaded: &'l [Loaded]) -> Vec<Found<'l>> {
        let found = self.sources.iter().zip(loaded).filter_map(|((database, want), loaded)| {
            let (Want::Policy(name), (policy, _)) = (want, loaded.policy()?) else { return None };
            let name = SourceName { database: database.clone(), policy: name.clone() };
            Some((name, loaded, policy))
        });
        found.collect()
    }

    /// Takes pieces out of the merge, or asks for the pages it needs.
    fn go_on(&mut self, context: &mut Context<'_>, mut run: Box<Run>) -> Flow {
        match run.next() {
            Err(error) => Flow::Break(Err(error.into())),
            Ok(Next::Chunk(chunk)) if self.living.is_asked() => {
                self.living.learn(&chunk);
                self.go_on(context, run)
            }
            Ok(Next::Done) if self.living.is_asked() => {
                self.living.settle();
                self.load_next(context, Vec::new(), false)
            }
            Ok(Next::Done) => {
                let now_ns = context.platform.now_ns();
                let began_ns = self.session.now_ns;
                Flow::Break(Ok(run.explain.map(|explain| explain.chunk(began_ns, now_ns))))
            }
            // What is explained is not shown.
            Ok(Next::Chunk(_)) if run.explain.is_some() => self.go_on(context, run),
            Ok(Next::Chunk(chunk)) => {
                self.emitted = true;
                self.stage = Stage::Run { run, asked: Vec::new() };
                Flow::Break(Ok(Some(chunk)))
            }
            Ok(Next::Need(needs)) => {
                let further = needs.iter().any(|(_, message)| resumes(message));
                let question = &self.question;
                let describe = || (question.text(), run.shards());
                let report = self.watch.report(context, &self.session, further, describe);
                let mut asked = Vec::with_capacity(needs.len());
                let mut requests = Vec::with_capacity(needs.len());
                for (stream, mut message) in needs {
                    if let ToShard::Scan { query, .. } | ToShard::Summarise { query, .. } =
                        &mut message
                    {
                        *query = self.watch.id();
                    }
                    let Some((shard, _)) = run.stream(stream) else { continue };
                    let to = Address::Shard(shard.clone());
                    requests.push(Request::new(to, envelope::encode(&message)));
                    asked.push(stream);
                }
                if requests.is_empty() {
                    return Flow::Break(Err(Error::unexpected_reply()));
                }
                requests.extend(report);
                self.stage = Stage::Run { run, asked };
                Flow::Continue(requests)
            }
        }
    }

    fn learn_pages(
        &mut self,
        context: &mut Context<'_>,
        mut run: Box<Run>,
        asked: Vec<StreamId>,
        mut replies: Vec<Result<Vec<u8>, CallFailure>>,
    ) -> Flow {
        let mut stale = false;
        if replies.len() > asked.len() && replies.pop().is_some_and(watch::is_killed) {
            return Flow::Break(Err(Error::Interrupted));
        }
        for (stream, reply) in asked.into_iter().zip(replies) {
            let reply = match envelope::decode_reply::<FromShard>(reply) {
                Ok(reply) => reply,
                Err(failure) => return Flow::Break(Err(failure.into())),
            };
            let error = match reply {
                FromShard::Stale => {
                    stale = true;
                    continue;
                }
                FromShard::Refused(ShardRefusal::Damaged { block }) => Error::Damaged { block },
                FromShard::Refused(ShardRefusal::Interrupted) => Error::Interrupted,
                FromShard::Refused(why) => Error::Shard(why.to_string()),
                FromShard::Unavailable(why) => why.into(),
                reply => match run.supply(stream, reply) {
                    Ok(()) => continue,
                    Err(error) => error,
                },
            };
            return Flow::Break(Err(error));
        }
        if !stale {
            self.retries = 0;
            return self.go_on(context, run);
        }
        if self.retries >= STALE_RETRIES_MAX {
            return Flow::Break(Err(Unavailable::Changing.into()));
        }
        self.retries += 1;
        self.living = Living::default();
        self.paused = self.emitted.then_some(run);
        self.load_next(context, Vec::new(), true)
    }
}

impl Question {
    fn text(&self) -> String {
        match self {
            Self::Select(select) => select.to_string(),
            Self::Show(show) => show.to_string(),
        }
    }
}

impl Machine for Query {
    type Answer = Answer;

    fn step(&mut self, context: &mut Context<'_>, reply: Option<Reply>) -> Step<Self::Answer> {
        let Some(replies) = self.round.resume(reply) else { return Step::Calls(Vec::new()) };
        let flow = match std::mem::replace(&mut self.stage, Stage::Finished) {
            Stage::Start => self.load_next(context, Vec::new(), false),
            Stage::Load { load, loaded, from_owner } => {
                let reply = replies.into_iter().next();
                self.load(context, load, loaded, from_owner, reply)
            }
            Stage::Run { run, asked } if asked.is_empty() => self.go_on(context, run),
            Stage::Run { run, asked } => self.learn_pages(context, run, asked, replies),
            Stage::End(answer) => return Step::Done(*answer),
            Stage::Finished => Flow::Break(Ok(None)),
        };
        match flow {
            Flow::Break(answer @ (Ok(None) | Err(_))) => match self.watch.end() {
                Some(request) => {
                    self.stage = Stage::End(Box::new(answer));
                    Step::Calls(self.round.start(vec![request]))
                }
                None => Step::Done(answer),
            },
            Flow::Continue(requests) => Step::Calls(self.round.start(requests)),
            Flow::Break(answer) => Step::Done(answer),
        }
    }
}
