//! Creates and drops continuous queries. [`Runner`] wraps a Database, and runs its continuous
//! queries and scheduled backups with the coordinator's code.
//!
//! The Database determines which runs are due, and its alarm starts them. The runner executes a
//! continuous query like any other statement, but in the Database's object instead of in the
//! Worker. The runner handles calls to this same Database by function calls, because an object that
//! calls itself by RPC would wait for itself.

use std::rc::Rc;

use super::backup::scheduled_pass;
use super::cache::Cache;
use super::error::{Error, Result};
use super::grants::Principal;
use super::into::check_names;
use super::load_schemas::{Load, SchemaSelection, call_database};
use super::session::Session;
use super::statement::{default_policy, each_place, execute};
use super::{Context, Pieces, Task};
use tidemark_engine::protocol::backup_schedule::{DuePass, PassDone};
use tidemark_engine::protocol::call::{Address, Call, Platform, Reply, Step};
use tidemark_engine::protocol::continuous::{ContinuousQuery, DueRun, RunEnd};
use tidemark_engine::protocol::database::{Description, FromDatabase, ToDatabase};
use tidemark_engine::protocol::event::{EventHandler, EventId};
use tidemark_engine::store::Store;
use tidemark_influxql::ast::{CreateContinuousQueryStatement, Statement};
use tidemark_influxql::bound_params::Params;
use tidemark_model::ids::ObjectId;
use tidemark_model::limits::{CONTINUOUS_RUN_NS_MAX, WINDOWS_PER_RUN_MAX};
use tidemark_objects::database::Database;
use tidemark_query::admission::QueryMemory;
use tidemark_query::compile::continuous::{ContinuousRun, next_run};
use tidemark_query::error::QueryError;
use tidemark_query::result::SeriesChunk;
use tidemark_query::source::{self, Defaults};

/// The event id of the run in progress. The Database assigns its own ids in ascending order from 1.
const RUN_EVENT_ID: EventId = EventId(u64::MAX);

/// A Database and the runner of its continuous queries and backups.
pub struct Runner<S: Store> {
    database: Database<S>,
    object: ObjectId,
    cache: Cache,
    queries: QueryMemory,
    running: Option<Running>,
    /// Whether the last alarm ran a continuous query. The next alarm then prefers backups and jobs,
    /// which would otherwise wait while a query catches up.
    has_run_query: bool,
}

enum Running {
    Query(Box<StartedRun>),
    Backup(Task<PassDone>),
}

struct StartedRun {
    query: ContinuousQuery,
    run: ContinuousRun,
    task: Task<()>,
    started_ns: i64,
}

impl StartedRun {
    /// Whether the run needs more calls or more time than one alarm has. The platform would then
    /// end the alarm, and the next alarm would repeat the run from its beginning.
    fn exceeds_alarm(&self, platform: &dyn Platform) -> bool {
        let ran_ns = platform.now_ns().saturating_sub(self.started_ns);
        self.task.refused_calls().is_some() || ran_ns > CONTINUOUS_RUN_NS_MAX
    }

    /// Returns the outcome of a run that exceeds the limit. A run of one window cannot be divided,
    /// and has the outcome `of_one`. A longer run is repeated with fewer windows.
    fn too_large(&self, of_one: RunEnd) -> RunEnd {
        match self.run.windows {
            ..=1 => of_one,
            windows => RunEnd::TooLarge(windows),
        }
    }

    fn end(&self, result: Result<()>) -> RunEnd {
        let ran = run_end(&self.run);
        match result {
            Err(Error::Query(reason)) if reason.is_too_large() => self.too_large(ran),
            // An error in the statement itself would occur again, so the run counts as done.
            Ok(()) | Err(Error::Query(_)) => ran,
            Err(_) => RunEnd::Failed,
        }
    }
}

fn run_end(run: &ContinuousRun) -> RunEnd {
    RunEnd::Ran { last_run_ns: run.last_run_ns, next_run_ns: run.next_run_ns }
}

impl<S: Store> Runner<S> {
    /// Wraps `database`, which is the object `object`. `queries` accounts for the memory of the
    /// continuous queries.
    pub fn new(database: Database<S>, object: ObjectId, queries: QueryMemory) -> Self {
        let cache = Cache::default();
        Self { database, object, cache, queries, running: None, has_run_query: false }
    }

    fn start(&mut self, platform: &dyn Platform, due: DueRun) -> Step<Vec<u8>> {
        let now_ns = platform.now_ns();
        let DueRun { database, query } = due;
        let parsed = tidemark_influxql::parse_statement(&query.text, &Params::default());
        let run = match parsed {
            Ok(Statement::CreateContinuousQuery(create)) => {
                let windows_max = query.windows_max.unwrap_or(WINDOWS_PER_RUN_MAX);
                next_run(*create, query.last_run_ns, windows_max, now_ns).ok().flatten()
            }
            _ => None,
        };
        let Some(mut run) = run else {
            self.database.on_run_ended(platform, &query, RunEnd::Failed);
            return Step::Done(Vec::new());
        };
        let Some(select) = run.select.take() else {
            self.database.on_run_ended(platform, &query, run_end(&run));
            return Step::Done(Vec::new());
        };
        // CREATE checked that the creator had all permissions that the statement needs.
        let principal = Principal::admin();
        let session = Session { database: Some(database), now_ns, principal, ..Session::default() };
        let calls_max = platform.limits().calls_before_end();
        let task = Task::new(|io| async move {
            io.limit_calls(calls_max);
            let mut rows = execute(Statement::Select(select), session);
            while io.next(&mut rows).await?.is_some() {}
            Ok(())
        });
        let run = StartedRun { query, run, task, started_ns: now_ns };
        self.running = Some(Running::Query(Box::new(run)));
        self.advance(platform, None)
    }

    fn start_pass(&mut self, platform: &dyn Platform, due: DuePass) -> Step<Vec<u8>> {
        let pass = Task::new(|io| async move { scheduled_pass(&io, due).await });
        self.running = Some(Running::Backup(pass));
        self.advance(platform, None)
    }

    fn advance(&mut self, platform: &dyn Platform, reply: Option<Reply>) -> Step<Vec<u8>> {
        let Some(mut running) = self.running.take() else { return Step::Calls(Vec::new()) };
        let mut out = Vec::new();
        // The last reply is processed first.
        let mut replies = vec![reply];
        while let Some(reply) = replies.pop() {
            let (cache, queries) = (&mut self.cache, &self.queries);
            let mut context = Context { cache, queries, platform };
            let calls = match &mut running {
                Running::Query(run) => match run.task.step(&mut context, reply) {
                    Step::Calls(calls) if !run.exceeds_alarm(platform) => calls,
                    step => {
                        let end = match step {
                            Step::Calls(_) => run.too_large(RunEnd::Failed),
                            Step::Done(result) => run.end(result),
                        };
                        self.database.on_run_ended(platform, &run.query, end);
                        return Step::Done(Vec::new());
                    }
                },
                Running::Backup(pass) => match pass.step(&mut context, reply) {
                    Step::Calls(calls) => calls,
                    Step::Done(end) => {
                        self.database
                            .on_pass_ended(platform, end.map_err(|reason| reason.to_string()));
                        return Step::Done(Vec::new());
                    }
                },
            };
            for call in calls {
                match self.call_own_database(platform, call) {
                    Ok(reply) => replies.push(Some(reply)),
                    Err(call) => out.push(call),
                }
            }
        }
        self.running = Some(running);
        Step::Calls(out)
    }

    /// Executes a call to this object. Returns a call to any other object unchanged.
    fn call_own_database(&mut self, platform: &dyn Platform, call: Call) -> Result<Reply, Call> {
        if call.to != Address::Database(self.object.clone()) {
            return Err(call);
        }
        let (event_id, step) = self.database.begin(platform, &call.message);
        match step {
            Step::Done(reply) => Ok(Reply { id: call.id, result: Ok(reply) }),
            // Describe, Schema and Register never call another object.
            Step::Calls(_) => {
                self.database.abandon(event_id);
                Err(call)
            }
        }
    }
}

impl<S: Store> EventHandler for Runner<S> {
    fn begin(&mut self, platform: &dyn Platform, message: &[u8]) -> (EventId, Step<Vec<u8>>) {
        self.database.begin_event(platform.now_ns());
        self.database.begin(platform, message)
    }

    fn resume(&mut self, platform: &dyn Platform, id: EventId, reply: Reply) -> Step<Vec<u8>> {
        if id == RUN_EVENT_ID {
            return self.advance(platform, Some(reply));
        }
        self.database.resume(platform, id, reply)
    }

    fn alarm(&mut self, platform: &dyn Platform) -> (EventId, Step<Vec<u8>>) {
        let now_ns = platform.now_ns();
        self.database.begin_event(now_ns);
        let is_busy = self.running.is_some();
        if std::mem::take(&mut self.has_run_query) && !is_busy {
            if let Some(due) = self.database.due_pass(platform, false) {
                return (RUN_EVENT_ID, self.start_pass(platform, due));
            }
            if self.database.has_due_job(now_ns) {
                return self.database.alarm(platform);
            }
        }
        if let Some(due) = self.database.due_run(platform, is_busy) {
            self.has_run_query = true;
            return (RUN_EVENT_ID, self.start(platform, due));
        }
        match self.database.due_pass(platform, is_busy) {
            Some(due) => (RUN_EVENT_ID, self.start_pass(platform, due)),
            None => self.database.alarm(platform),
        }
    }

    fn next_alarm_ns(&self) -> Option<i64> {
        self.database.next_alarm_ns()
    }

    fn abandon(&mut self, event_id: EventId) {
        if event_id == RUN_EVENT_ID {
            self.running = None;
        }
        self.database.abandon(event_id);
    }
}

/// Executes CREATE CONTINUOUS QUERY: adds the database and the policy to every name, checks the
/// names, and stores the text in the Database.
pub(super) fn create_continuous(
    mut statement: CreateContinuousQueryStatement,
    defaults: Defaults<'_>,
) -> Result<Pieces<SeriesChunk>> {
    let own = Some(statement.database.as_str()).filter(|name| !name.is_empty());
    let database = defaults.database.or(own).ok_or(QueryError::DatabaseRequired)?.to_owned();
    let policy = defaults.policy.map(str::to_owned);
    if let Some(target) = &statement.source.into {
        check_names(&statement.source, target)?;
    }
    // Checks the names of the measurements.
    source::sources(&statement.source, Defaults { database: Some(&database), ..defaults })?;
    let mut names: Vec<String> = Vec::new();
    each_place(&mut statement.source, &mut |named, of_policy| {
        let name = named.get_or_insert_with(|| database.clone()).clone();
        *of_policy = of_policy.take().or_else(|| policy.clone());
        if !names.contains(&name) {
            names.push(name);
        }
        Ok(())
    })?;
    Ok(Pieces::once(|io| async move {
        let mut databases = Databases::new();
        for name in names {
            let loaded = Load::from_owner(&name, SchemaSelection::Nothing).run(&io).await?;
            databases.push((name, loaded.description));
        }
        let query = qualify(&mut statement, &databases)?;
        let message = ToDatabase::CreateContinuousQuery { query };
        match call_database(&io, &statement.database, &message).await? {
            FromDatabase::Done => Ok(None),
            _ => Err(Error::unexpected_reply()),
        }
    }))
}

/// Executes DROP CONTINUOUS QUERY. As in 1.x, a missing database is not an error.
pub(super) fn drop_continuous(database: String, name: String) -> Pieces<SeriesChunk> {
    Pieces::once(|io| async move {
        match call_database(&io, &database, &ToDatabase::DropContinuousQuery { name }).await {
            Ok(FromDatabase::Done) | Err(Error::DatabaseNotFound(_)) => Ok(None),
            Ok(_) => Err(Error::unexpected_reply()),
            Err(error) => Err(error),
        }
    })
}

type Databases = Vec<(String, Rc<Description>)>;

fn qualify(
    statement: &mut CreateContinuousQueryStatement,
    databases: &Databases,
) -> Result<ContinuousQuery> {
    each_place(&mut statement.source, &mut |database, policy| {
        let database = database.as_deref().unwrap_or_default();
        let Some((_, found)) = databases.iter().find(|(known, _)| known == database) else {
            return Err(Error::DatabaseNotFound(database.to_owned()));
        };
        let default = || default_policy(found).cloned().unwrap_or_default();
        let name = policy.get_or_insert_with(default);
        if found.policies.iter().all(|policy| policy.name != *name) {
            return Err(Error::PolicyNotFound(format!("{database}.{name}")));
        }
        Ok(())
    })?;
    let source = &statement.source;
    let interval_ns = source.group_by_interval_ns().unwrap_or(0);
    // 1.x stores a query without windows but never runs it.
    let is_run = interval_ns > 0 && !source.is_raw();
    let every_ns = match statement.resample_every_ns {
        0 => interval_ns,
        every_ns => every_ns,
    };
    let text = statement.to_string();
    // Each run parses the text. A regex in a bound parameter may contain a line break, which no
    // regex in a text may contain.
    tidemark_influxql::parse_statement(&text, &Params::default()).map_err(|reason| {
        let refusal = "the continuous query cannot be stored, because its text cannot be parsed";
        QueryError::Invalid(format!("{refusal}: {reason}"))
    })?;
    Ok(ContinuousQuery {
        name: statement.name.clone(),
        text,
        every_ns: if is_run { every_ns } else { 0 },
        ..ContinuousQuery::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemark_engine::protocol::database::{CreateDatabase, PolicySpec};
    use tidemark_engine::protocol::envelope;
    use tidemark_engine::protocol::local_platform::LocalPlatform;
    use tidemark_engine::protocol::shard::FromShard;
    use tidemark_engine::store::memory::MemoryStore;
    use tidemark_model::limits::{CONTINUOUS_RETRY_NS_MAX, WIPE_DELAY_NS};

    /// Sends `message` until the Database has carried it out. Each shard replies `Done`.
    fn complete(runner: &mut Runner<MemoryStore>, platform: &LocalPlatform, message: &ToDatabase) {
        for _ in 0..20 {
            let (event_id, mut step) = runner.begin(platform, &envelope::encode(message));
            let mut waiting = Vec::new();
            let reply = loop {
                match step {
                    Step::Done(reply) => break reply,
                    Step::Calls(calls) => waiting.extend(calls),
                }
                let call = waiting.pop().unwrap();
                let reply = Reply { id: call.id, result: Ok(envelope::encode(&FromShard::Done)) };
                step = runner.resume(platform, event_id, reply);
            };
            if envelope::decode::<FromDatabase>(&reply).unwrap().1 == FromDatabase::Done {
                return;
            }
        }
        panic!("{message:?} does not end");
    }

    #[test]
    fn jobs_alternate_with_late_continuous_query() {
        let object = ObjectId("database".to_owned());
        let database = Database::new(MemoryStore::new(), object.clone());
        let mut runner = Runner::new(database, object, QueryMemory::default());
        let platform = LocalPlatform::at(0);
        let create =
            CreateDatabase { name: "d".to_owned(), shards: 1, ..CreateDatabase::default() };
        complete(&mut runner, &platform, &ToDatabase::Initialise(create));
        let names = ["p1", "p2"];
        for name in names {
            let spec = PolicySpec { name: Some(name.to_owned()), ..PolicySpec::default() };
            let create = ToDatabase::CreatePolicy { spec, make_default: false };
            complete(&mut runner, &platform, &create);
        }
        let query = ContinuousQuery {
            name: "c".to_owned(),
            text: "not a statement".to_owned(),
            every_ns: 1,
            ..ContinuousQuery::default()
        };
        complete(&mut runner, &platform, &ToDatabase::CreateContinuousQuery { query });
        for name in names {
            complete(&mut runner, &platform, &ToDatabase::DropPolicy { name: name.to_owned() });
        }
        // Each dropped policy leaves a job that wipes its shard.
        platform.pass(WIPE_DELAY_NS);
        let mut events = Vec::new();
        for _ in 0..6 {
            // The query is due again, although every run fails.
            platform.pass(CONTINUOUS_RETRY_NS_MAX);
            let (event_id, step) = runner.alarm(&platform);
            events.push(if matches!(step, Step::Calls(_)) { "job" } else { "run" });
            let Step::Calls(calls) = step else { continue };
            for call in calls {
                let reply = Reply { id: call.id, result: Ok(envelope::encode(&FromShard::Done)) };
                runner.resume(&platform, event_id, reply);
            }
        }
        assert_eq!(events, ["run", "job", "run", "job", "run", "run"]);
    }
}
