//! SELECT and SHOW: schemas in, scans out to every shard that may hold rows, pages back.
//!
//! A shard that knows better answers "stale": as long as nothing was answered the machine starts
//! again from the owners, later it goes on if nothing but additions came since. A plan that asks no
//! shard of a policy is made again from the owners' state too, since no shard could have said that
//! the cache is old (DESIGN section 4, rule 6).

mod run;

use std::ops::ControlFlow;

use super::error::Error;
use super::explain::Explain;
use super::load::{Load, Loaded, Progress, Want};
use super::statement::Session;
use super::watch::{self, Watch};
use super::{Context, Machine};
use crate::influxql::ast::{ExplainStatement, SelectStatement, Statement};
use crate::model::grant::{Right, Scope};
use crate::model::ids::ObjectId;
use crate::model::limit::Limit;
use crate::model::limits::{STALE_RETRIES_MAX, UNLIMITED};
use crate::model::schema::PolicySchema;
use crate::model::shard_map::Policy;
use crate::model::time::TimeRange;
use crate::protocol::call::{Address, CallFailure, Reply, Step};
use crate::protocol::envelope;
use crate::protocol::host::Unavailable;
use crate::protocol::round::{Request, Round};
use crate::protocol::shard::{FromShard, ShardRefusal, Stamp, ToShard};
use crate::query::compile::{self, PolicyView};
use crate::query::error::QueryError;
use crate::query::executor::{Executor, StreamId};
use crate::query::metadata::{self, MetaContext, MetaExecutor, MetaPolicy};
use crate::query::plan::PlannedScan;
use crate::query::result::SeriesChunk;
use crate::query::source::{self, SourceName};
use run::{Merge, Next, Reads, Run, resumes};

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

    /// Prepares a SHOW statement about `database`, one that [`metadata::database`] knows.
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
                Some((found.description.generation, schema.version))
            });
            match fresh {
                Some((generation, version)) if generation == stamp.generation => {
                    stamp.schema_version = version;
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
        let mut found: Vec<(SourceName, &Loaded, &Policy)> = Vec::new();
        let mut policies = Vec::new();
        for ((database, want), loaded) in self.sources.iter().zip(loaded) {
            let (Want::Policy(policy_name), Some((policy, schema))) = (want, loaded.policy())
            else {
                continue;
            };
            let name = SourceName { database: database.clone(), policy: policy_name.clone() };
            let oldest_kept_ns = policy.oldest_kept_ns(context.platform.now_ns());
            policies.push(PolicyView { name: name.clone(), schema, oldest_kept_ns });
            found.push((name, loaded, policy));
        }
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

    /// Takes pieces out of the merge, or asks for the pages it needs.
    fn go_on(&mut self, context: &mut Context<'_>, mut run: Box<Run>) -> Flow {
        match run.next() {
            Err(error) => Flow::Break(Err(error.into())),
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

/// The run, and whether any shard is asked.
fn plan_show(
    statement: &Statement,
    loaded: &[Loaded],
    session: &Session,
    scope: &Scope,
    now_ns: i64,
) -> Result<(Run, bool), QueryError> {
    let loaded: &Loaded = loaded.first().ok_or(QueryError::DatabaseRequired)?;
    let unreadable = PolicySchema::default();
    let mut policies = Vec::new();
    for (id, schema) in &loaded.schemas {
        let policy = loaded.description.policies.iter().find(|policy| policy.id == *id);
        policies.extend(policy.map(|policy| MetaPolicy {
            name: policy.name.clone(),
            // What may not be read looks empty.
            schema: if scope.covers(&policy.name) { schema.as_ref() } else { &unreadable },
            group_duration_ns: policy.shard_group_duration_ns,
        }));
    }
    let default = loaded.description.default_policy;
    let default = loaded.description.policies.iter().find(|policy| Some(policy.id) == default);
    let context = MetaContext {
        policies: &policies,
        default_policy: default.map_or("", |policy| &policy.name),
        defaults: session.defaults(),
        now_ns: session.now_ns,
    };
    let mut plan = metadata::compile(statement, &context)?;
    let mut streams = Vec::with_capacity(plan.scans.len());
    let is_alone = plan.scans.len() == 1;
    for scan in &mut plan.scans {
        let policy = loaded.description.policies.iter().find(|policy| policy.name == scan.policy);
        let kept_from_ns = policy.filter(|policy| policy.duration_ns > 0);
        scan.request.kept_from_ns = kept_from_ns.map(|policy| policy.oldest_kept_ns(now_ns));
        let groups = policy.into_iter().flat_map(|policy| &policy.groups);
        if is_alone && groups.filter(|g| g.range.overlaps(&scan.request.time)).count() <= 1 {
            scan.is_disjoint();
        }
        let shards = policy.map(|policy| shards_of(loaded, policy, scan.request.time));
        streams.push(shards.unwrap_or_default());
    }
    // A policy without a scan has no measurement in the cache: only its owner knows of new ones.
    let scanned = |id| {
        let policy = loaded.description.policies.iter().find(|policy| policy.id == id);
        policy.is_some_and(|policy| plan.scans.iter().any(|scan| scan.policy == policy.name))
    };
    let asks_everyone = loaded.schemas.iter().all(|(id, _)| scanned(*id));
    let merge = Merge::Summaries(Box::new(MetaExecutor::new(plan, &counts(&streams))));
    let reads = Reads::new([u64::MAX; 2], None);
    Ok((Run { merge, streams, explain: None, reads }, asks_everyone))
}

/// Every shard of `policy` that may hold rows inside `time`, with what its callers believe.
fn shards_of(loaded: &Loaded, policy: &Policy, time: TimeRange) -> Vec<(ObjectId, Stamp)> {
    let schema = loaded.schemas.iter().find(|(id, _)| *id == policy.id);
    let stamp = Stamp {
        policy: policy.id,
        generation: loaded.description.generation,
        schema_version: schema.map_or(0, |(_, schema)| schema.version),
    };
    let groups = policy.groups.iter().filter(|group| group.range.overlaps(&time));
    groups.flat_map(|group| &group.shards).map(|shard| (shard.clone(), stamp)).collect()
}

fn counts(streams: &[Vec<(ObjectId, Stamp)>]) -> Vec<u32> {
    // A policy has far fewer than 2^32 shards.
    streams.iter().map(|shards| shards.len() as u32).collect()
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
