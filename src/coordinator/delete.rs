//! Carries out DELETE and DROP SERIES, which are told to every shard of the policies that they
//! concern.
//!
//! Each shard is first asked how far its writes have come, then told to hide what was written
//! until then (PROTOCOL.md rule 9). So a message that arrives late or twice hides nothing
//! that was written after the statement. A shard that knows better answers "stale": the statement
//! is planned again from the owners' state and told to all, which changes nothing where it was
//! done already.

use std::rc::Rc;

use super::error::Error;
use super::load_schemas::{Load, Loaded, Want};
use super::retries::Retries;
use super::{Context, RoundMachine, Turn};
use crate::influxql::ast::Statement;
use crate::model::ids::ObjectId;
use crate::model::limits::CALLS_PER_ROUND_MAX;
use crate::protocol::call::Address;
use crate::protocol::envelope;
use crate::protocol::round::{Next, Replies, Request, Round};
use crate::protocol::shard::{FromShard, NO_GRANT, Stamp, ToShard};
use crate::query::metadata::deletions;
use crate::scan::request::Deletion;

/// Deletions of one message, at most; a tombstone is one row.
const DELETIONS_PER_MESSAGE_MAX: usize = 1_000;
/// Their conditions together, bytes of InfluxQL. Encoded they take less than twice as much, so that
/// a tombstone fits a row by far.
const CONDITION_BYTES_MAX: usize = 100_000;

/// A DELETE or DROP SERIES in progress.
#[derive(Debug)]
pub struct Delete {
    statement: Statement,
    database: String,
    /// Of which policies.
    want: Want,
    now_ns: i64,
    stage: DeleteStage,
    round: Round,
    retries: Retries,
    /// Some shard may have done its part.
    begun: bool,
}

#[derive(Debug)]
enum DeleteStage {
    Start,
    Load(Load),
    /// The shards are called, a round of them at a time.
    Tell(Telling),
}

/// How far the shards have been told.
#[derive(Debug)]
struct Telling {
    tasks: Vec<ShardTask>,
    /// The tasks before this position are done with the phase.
    next: usize,
    phase: Phase,
}

/// What the tasks' shards are called for; all of them answer one before any is called for the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// They are asked how far their writes have come.
    Fence,
    /// They are told to hide what was written until then.
    Hide,
}

/// What one shard is told.
#[derive(Debug)]
struct ShardTask {
    shard: ObjectId,
    stamp: Stamp,
    /// Rows with a lower number in the shard's sequence of writes are concerned.
    before: u64,
    deletions: Rc<[Deletion]>,
}

impl Delete {
    /// Prepares a statement on `database`; `now_ns` is what `now()` means in it.
    pub fn new(statement: Statement, database: String, now_ns: i64) -> Self {
        Self {
            statement,
            database,
            want: Want::All,
            now_ns,
            stage: DeleteStage::Start,
            round: Round::default(),
            retries: Retries::default(),
            begun: false,
        }
    }

    /// Spares every policy but this one; none is the default policy.
    pub fn of_policy(self, policy: Option<String>) -> Self {
        Self { want: Want::Policy(policy), ..self }
    }

    /// Begins, or begins again after newer state. The load is from the owners: a row that any
    /// client was told is written must be found.
    fn start(&mut self, context: &mut Context<'_>) -> Turn<()> {
        let load = Load::from_owner(&self.database, self.want.clone());
        self.load(context, load, Vec::new())
    }

    fn load(&mut self, context: &mut Context<'_>, mut load: Load, replies: Replies) -> Turn<()> {
        match load.go_on(context, replies)? {
            Next::Calls(requests) => {
                self.stage = DeleteStage::Load(load);
                Ok(Next::Calls(requests))
            }
            Next::Reply(loaded) => {
                let tasks = self.plan(&loaded)?;
                Ok(self.tell(Telling { tasks, next: 0, phase: Phase::Fence }))
            }
        }
    }

    fn plan(&self, loaded: &Loaded) -> Result<Vec<ShardTask>, Error> {
        let mut policies = Vec::new();
        for (id, schema) in &loaded.schemas {
            let policy = loaded.description.policies.iter().find(|policy| policy.id == *id);
            policies.extend(policy.map(|policy| (policy.name.clone(), schema.as_ref())));
        }
        let text_bytes = self.statement.to_string().len();
        let most = (CONDITION_BYTES_MAX / text_bytes.max(1)).clamp(1, DELETIONS_PER_MESSAGE_MAX);
        let mut tasks = Vec::new();
        for (name, deletions) in deletions(&self.statement, &policies, self.now_ns)? {
            let policy = loaded.description.policies.iter().find(|policy| policy.name == name);
            let Some(policy) = policy else { continue };
            let schema = loaded.schemas.iter().find(|(id, _)| *id == policy.id);
            let stamp = Stamp {
                policy: policy.id,
                generation: loaded.description.generation,
                schema_version: schema.map_or(0, |(_, schema)| schema.version),
                fresh: loaded.fresh,
                // Whoever asks was looked up for this statement.
                access: NO_GRANT,
                meter: None,
            };
            for deletions in deletions.chunks(most) {
                let deletions: Rc<[Deletion]> = deletions.into();
                let time = deletions.first().map(|deletion| deletion.time);
                let overlaps = |range| time.is_some_and(|time| time.overlaps(range));
                let groups = policy.groups.iter().filter(|group| overlaps(&group.range));
                tasks.extend(groups.flat_map(|group| &group.shards).map(|shard| ShardTask {
                    shard: shard.clone(),
                    stamp,
                    before: 0,
                    deletions: Rc::clone(&deletions),
                }));
            }
        }
        Ok(tasks)
    }

    /// Sends the messages of the next tasks, a round of them.
    fn tell(&mut self, mut telling: Telling) -> Next<()> {
        if telling.next >= telling.tasks.len() {
            if telling.phase == Phase::Hide || telling.tasks.is_empty() {
                return Next::Reply(());
            }
            (telling.next, telling.phase) = (0, Phase::Hide);
        }
        let phase = telling.phase;
        let request = |task: &ShardTask| {
            let message = match phase {
                Phase::Hide => ToShard::Delete {
                    stamp: task.stamp,
                    before: task.before,
                    deletions: task.deletions.to_vec(),
                },
                Phase::Fence => ToShard::Stats,
            };
            Request::new(Address::Shard(task.shard.clone()), envelope::encode(&message))
        };
        let tasks = telling.tasks.iter().skip(telling.next).take(CALLS_PER_ROUND_MAX);
        let requests = tasks.map(request).collect();
        self.begun |= phase == Phase::Hide;
        self.stage = DeleteStage::Tell(telling);
        Next::Calls(requests)
    }

    fn learn(
        &mut self,
        context: &mut Context<'_>,
        mut telling: Telling,
        replies: Replies,
    ) -> Turn<()> {
        let (count, phase) = (replies.len(), telling.phase);
        for (task, reply) in telling.tasks.iter_mut().skip(telling.next).zip(replies) {
            let reply = envelope::decode_reply::<FromShard>(reply);
            match (phase, reply.map_err(|failure| self.failed(failure.into()))?) {
                (Phase::Hide, FromShard::Done) => {}
                (Phase::Fence, FromShard::Stats(stats)) => task.before = stats.next_sequence,
                (_, FromShard::Stale) => {
                    self.retries.count().map_err(|why| self.failed(why.into()))?;
                    return self.start(context);
                }
                (_, FromShard::Unavailable(why)) => return Err(self.failed(why.into())),
                (_, FromShard::Refused(why)) => {
                    return Err(self.failed(Error::Shard(why.to_string())));
                }
                _ => return Err(self.failed(Error::unexpected_reply())),
            }
        }
        telling.next += count;
        Ok(self.tell(telling))
    }

    /// What is said of a failure: some shards may have done their part by then.
    fn failed(&self, error: Error) -> Error {
        match self.begun {
            true => Error::PartlyApplied(error.to_string()),
            false => error,
        }
    }
}

impl RoundMachine for Delete {
    type Reply = ();

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn go_on(&mut self, context: &mut Context<'_>, replies: Replies) -> Turn<()> {
        match std::mem::replace(&mut self.stage, DeleteStage::Start) {
            DeleteStage::Start => self.start(context),
            DeleteStage::Load(load) => self.load(context, load, replies),
            DeleteStage::Tell(telling) => self.learn(context, telling, replies),
        }
    }
}
