//! Carries out DELETE and DROP SERIES on every shard of the policies concerned.
//!
//! Each shard first reports the position of its last write. Then the statement tells it to hide the
//! rows up to that position (PROTOCOL.md rule 9). So a message that arrives late or twice hides no
//! row that was written after the statement. A shard with newer state returns "stale". Then the
//! statement is planned again from the owners' state and sent to all shards. A repeat changes
//! nothing.

use std::rc::Rc;

use super::error::Error;
use super::load_schemas::{Load, Loaded, Want};
use super::retries::Retries;
use super::{Io, Task};
use crate::influxql::ast::Statement;
use crate::model::configurable_limits::Limit;
use crate::model::ids::ObjectId;
use crate::model::limits::{CALLS_PER_ROUND_MAX, CALLS_RESERVED};
use crate::protocol::call::Address;
use crate::protocol::envelope;
use crate::protocol::round::{CallResult, Request};
use crate::protocol::shard::{FromShard, NO_GRANT, Stamp, ToShard};
use crate::query::error::QueryError;
use crate::query::metadata::deletions;
use crate::scan::request::Deletion;

/// The maximum number of deletions in one message; a tombstone is one row.
const DELETIONS_PER_MESSAGE_MAX: usize = 1_000;
/// The maximum size of their conditions together, in bytes of InfluxQL. Encoded they take less than
/// twice as much, so that a tombstone fits in a row.
const CONDITION_BYTES_MAX: usize = 100_000;

/// Carries out a DELETE or DROP SERIES on the policies of `database` that `want` names. `now_ns` is
/// the value of `now()`.
///
/// # Errors
/// [`Error::PartlyApplied`] if some shards may have deleted their rows.
pub fn delete(statement: Statement, database: String, want: Want, now_ns: i64) -> Task<()> {
    Task::new(move |io| async move {
        let mut delete = Delete { io, statement, now_ns, has_begun: false };
        let result = delete.run(&database, want).await;
        result.map_err(|error| match delete.has_begun {
            true => Error::PartlyApplied(error.to_string()),
            false => error,
        })
    })
}

struct Delete {
    io: Io,
    statement: Statement,
    now_ns: i64,
    /// Whether a shard may have deleted rows.
    has_begun: bool,
}

struct ShardTask {
    shard: ObjectId,
    stamp: Stamp,
    /// Rows with a lower number in the shard's sequence of writes are hidden.
    before: u64,
    deletions: Rc<[Deletion]>,
}

impl Delete {
    async fn run(&mut self, database: &str, want: Want) -> Result<(), Error> {
        let mut retries = Retries::default();
        loop {
            // From the owners: every row whose write was acknowledged must be found.
            let loaded = self.io.run(Load::from_owner(database, want.clone())).await?;
            let mut tasks = self.plan(&loaded)?;
            self.check_calls(&tasks)?;
            if self.fence(&mut tasks).await? && self.hide(&tasks).await? {
                return Ok(());
            }
            retries.count()?;
        }
    }

    /// Checks that the request may make two calls for each task, before the first row is deleted.
    fn check_calls(&self, tasks: &[ShardTask]) -> Result<(), Error> {
        let limits = self.io.with(|context| context.platform.limits())?;
        let calls = 2 * tasks.len();
        if calls + CALLS_RESERVED <= limits.calls_before_end() {
            return Ok(());
        }
        let error = limits.exceeded(Limit::Calls, 0, calls);
        let advice = "delete fewer measurements, or a shorter time range";
        Err(QueryError::Exceeded { error, advice }.into())
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
                // The caller was looked up for this statement.
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

    /// Requests the position of the last write from each shard. Returns `false` if a shard is newer
    /// than the plan.
    async fn fence(&self, tasks: &mut [ShardTask]) -> Result<bool, Error> {
        for tasks in tasks.chunks_mut(CALLS_PER_ROUND_MAX) {
            let replies = self.send(tasks, |_| ToShard::Stats).await;
            for (task, reply) in tasks.iter_mut().zip(replies) {
                match decode(reply)? {
                    FromShard::Stats(stats) => task.before = stats.next_sequence,
                    FromShard::Stale => return Ok(false),
                    _ => return Err(Error::unexpected_reply()),
                }
            }
        }
        Ok(true)
    }

    /// Tells the shards to hide the rows. Returns `false` if a shard is newer than the plan.
    async fn hide(&mut self, tasks: &[ShardTask]) -> Result<bool, Error> {
        for tasks in tasks.chunks(CALLS_PER_ROUND_MAX) {
            self.has_begun = true;
            let message = |task: &ShardTask| ToShard::Delete {
                stamp: task.stamp,
                before: task.before,
                deletions: task.deletions.to_vec(),
            };
            for reply in self.send(tasks, message).await {
                match decode(reply)? {
                    FromShard::Done => {}
                    FromShard::Stale => return Ok(false),
                    _ => return Err(Error::unexpected_reply()),
                }
            }
        }
        Ok(true)
    }

    async fn send(
        &self,
        tasks: &[ShardTask],
        message: impl Fn(&ShardTask) -> ToShard,
    ) -> Vec<CallResult> {
        let request = |task: &ShardTask| {
            Request::new(Address::Shard(task.shard.clone()), envelope::encode(&message(task)))
        };
        self.io.calls(tasks.iter().map(request).collect()).await
    }
}

fn decode(reply: CallResult) -> Result<FromShard, Error> {
    match envelope::decode_reply(reply)? {
        FromShard::Unavailable(why) => Err(why.into()),
        FromShard::Refused(why) => Err(Error::Shard(why.to_string())),
        reply => Ok(reply),
    }
}
