//! DELETE and DROP SERIES: told to every shard of the policies that they concern.
//!
//! Each shard is first asked how far its writes have come, then told to hide what was written
//! until then (PROTOCOL.md rule 9). So a message that arrives late or twice hides nothing
//! that was written after the statement. A shard that knows better answers "stale": the statement
//! is planned again from the owners' state and told to all, which changes nothing where it was
//! done already.

use std::ops::ControlFlow;
use std::rc::Rc;

use super::error::Error;
use super::load::{Load, Loaded, Progress, Want};
use super::{Context, Machine};
use crate::influxql::ast::Statement;
use crate::model::ids::ObjectId;
use crate::model::limits::{CALLS_PER_ROUND_MAX, STALE_RETRIES_MAX};
use crate::protocol::call::{Address, CallFailure, Reply, Step};
use crate::protocol::envelope;
use crate::protocol::host::Unavailable;
use crate::protocol::round::{Request, Round};
use crate::protocol::shard::{FromShard, Stamp, ToShard};
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
    stage: Stage,
    round: Round,
    retries: u32,
    /// Some shard may have done its part.
    begun: bool,
}

#[derive(Debug)]
enum Stage {
    Start,
    Load(Load),
    /// The tasks from the position on are asked how far their shard's writes have come,
    Fence(Vec<Task>, usize),
    /// and then told to hide what was written until then.
    Hide(Vec<Task>, usize),
}

/// What one shard is told.
#[derive(Debug)]
struct Task {
    shard: ObjectId,
    stamp: Stamp,
    before: u64,
    deletions: Rc<[Deletion]>,
}

type Answer = Result<(), Error>;
type Flow = ControlFlow<Answer, Vec<Request>>;

impl Delete {
    /// Prepares a statement on `database`; `now_ns` is what `now()` means in it.
    pub fn new(statement: Statement, database: String, now_ns: i64) -> Self {
        let (stage, round) = (Stage::Start, Round::default());
        let want = Want::All;
        Self { statement, database, want, now_ns, stage, round, retries: 0, begun: false }
    }

    /// Spares every policy but this one; none is the default policy.
    pub fn of_policy(self, policy: Option<String>) -> Self {
        Self { want: Want::Policy(policy), ..self }
    }

    fn load(
        &mut self,
        context: &mut Context<'_>,
        mut load: Load,
        reply: Option<Result<Vec<u8>, CallFailure>>,
    ) -> Flow {
        match load.step(context, reply) {
            Progress::Ask(request) => {
                self.stage = Stage::Load(load);
                Flow::Continue(vec![request])
            }
            Progress::Ready(Err(error)) => Flow::Break(Err(error)),
            Progress::Ready(Ok(loaded)) => match self.plan(&loaded) {
                Ok(tasks) => self.go_on(tasks, 0, false),
                Err(error) => Flow::Break(Err(error)),
            },
        }
    }

    fn plan(&self, loaded: &Loaded) -> Result<Vec<Task>, Error> {
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
            };
            for deletions in deletions.chunks(most) {
                let deletions: Rc<[Deletion]> = deletions.into();
                let time = deletions.first().map(|deletion| deletion.time);
                let overlaps = |range| time.is_some_and(|time| time.overlaps(range));
                let groups = policy.groups.iter().filter(|group| overlaps(&group.range));
                tasks.extend(groups.flat_map(|group| &group.shards).map(|shard| Task {
                    shard: shard.clone(),
                    stamp,
                    before: 0,
                    deletions: Rc::clone(&deletions),
                }));
            }
        }
        Ok(tasks)
    }

    /// Sends the messages of the tasks from `at` on, a round at a time.
    fn go_on(&mut self, tasks: Vec<Task>, at: usize, hide: bool) -> Flow {
        if at >= tasks.len() {
            return match hide || tasks.is_empty() {
                true => Flow::Break(Ok(())),
                false => self.go_on(tasks, 0, true),
            };
        }
        let request = |task: &Task| {
            let message = match hide {
                true => ToShard::Delete {
                    stamp: task.stamp,
                    before: task.before,
                    deletions: task.deletions.to_vec(),
                },
                false => ToShard::Stats,
            };
            Request::new(Address::Shard(task.shard.clone()), envelope::encode(&message))
        };
        let requests = tasks.iter().skip(at).take(CALLS_PER_ROUND_MAX).map(request).collect();
        self.begun |= hide;
        self.stage = if hide { Stage::Hide(tasks, at) } else { Stage::Fence(tasks, at) };
        Flow::Continue(requests)
    }

    fn learn(
        &mut self,
        mut tasks: Vec<Task>,
        at: usize,
        hide: bool,
        replies: Vec<Result<Vec<u8>, CallFailure>>,
    ) -> Flow {
        let count = replies.len();
        for (task, reply) in tasks.iter_mut().skip(at).zip(replies) {
            match envelope::decode_reply::<FromShard>(reply) {
                Ok(FromShard::Done) if hide => {}
                Ok(FromShard::Stats(stats)) if !hide => task.before = stats.next_sequence,
                Ok(FromShard::Stale) if self.retries < STALE_RETRIES_MAX => {
                    self.retries += 1;
                    self.stage = Stage::Start;
                    return Flow::Continue(Vec::new());
                }
                Ok(FromShard::Stale) => return self.fail(Unavailable::Changing.into()),
                Ok(FromShard::Unavailable(why)) => return self.fail(why.into()),
                Ok(FromShard::Refused(why)) => return self.fail(Error::Shard(why.to_string())),
                Ok(_) => return self.fail(Error::unexpected_reply()),
                Err(failure) => return self.fail(failure.into()),
            }
        }
        self.go_on(tasks, at + count, hide)
    }

    fn fail(&self, error: Error) -> Flow {
        Flow::Break(Err(match self.begun {
            true => Error::PartlyApplied(error.to_string()),
            false => error,
        }))
    }
}

impl Machine for Delete {
    type Answer = Answer;

    fn step(&mut self, context: &mut Context<'_>, reply: Option<Reply>) -> Step<Self::Answer> {
        let mut replies = match reply {
            None => Vec::new(),
            Some(reply) => match self.round.take(reply) {
                Some(replies) => replies,
                None => return Step::Calls(Vec::new()),
            },
        };
        let mut flow = match std::mem::replace(&mut self.stage, Stage::Start) {
            Stage::Start => Flow::Continue(Vec::new()),
            Stage::Load(load) => self.load(context, load, replies.pop()),
            Stage::Fence(tasks, at) => self.learn(tasks, at, false, replies),
            Stage::Hide(tasks, at) => self.learn(tasks, at, true, replies),
        };
        if matches!((&flow, &self.stage), (Flow::Continue(_), Stage::Start)) {
            // From the owners: a row that any client was told is written must be found.
            let load = Load::from_owner(&self.database, self.want.clone());
            flow = self.load(context, load, None);
        }
        match flow {
            Flow::Continue(requests) => Step::Calls(self.round.start(requests)),
            Flow::Break(answer) => Step::Done(answer),
        }
    }
}
