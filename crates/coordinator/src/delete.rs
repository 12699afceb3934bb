//! Executes DELETE and DROP SERIES on every shard of the selected policies.
//!
//! The statement first requests from each shard the sequence of its next write. The statement then
//! requests that each shard hides the matching rows with lower sequences (PROTOCOL.md rule 9). A
//! message that arrives late or twice therefore hides no row that was written after the statement.
//! If a shard with newer state returns "stale", the statement is planned again from the owners'
//! state and sent to all shards.
//!
//! If the shards need more calls than the request may make, the Database sends the messages
//! instead.

use std::rc::Rc;

use super::Io;
use super::error::{Error, Result};
use super::load_schemas::{Load, Loaded, Retries, SchemaSelection};
use tidemark_engine::protocol::call::Address;
use tidemark_engine::protocol::database::{FromDatabase, ToDatabase};
use tidemark_engine::protocol::envelope;
use tidemark_engine::protocol::round::Request;
use tidemark_engine::protocol::shard::{FromShard, Stamp, ToShard};
use tidemark_engine::scan::request::Deletion;
use tidemark_influxql::ast::Statement;
use tidemark_model::configurable_limits::Limit;
use tidemark_model::ids::ObjectId;
use tidemark_model::limits::{CALLS_PER_ROUND_MAX, CALLS_RESERVED, PENDING_DELETES_BYTES_MAX};
use tidemark_query::error::QueryError;
use tidemark_query::metadata::Deletions;

/// A shard stores a message's tombstones in one row.
const DELETIONS_PER_MESSAGE_MAX: usize = 1_000;
/// The maximum total size of the conditions in one message, in bytes of InfluxQL. The encoded
/// conditions are less than twice as large, so that they fit in a row.
const CONDITION_BYTES_MAX: usize = 100_000;
/// The number of terms that are compiled between two pauses.
const TERMS_PER_TURN: usize = 10_000;
const RELAYED_MESSAGES_MAX: usize = 1_000;
const RELAYED_BYTES_MAX: usize = 4_000_000;

/// Executes a DELETE or DROP SERIES on the policies of `database` that `selection` names. Returns
/// [`Error::PartlyApplied`] if some shards may have deleted their rows.
pub async fn delete(
    io: &Io,
    statement: Statement,
    database: &str,
    selection: SchemaSelection,
    now_ns: i64,
) -> Result<()> {
    let mut delete = Delete { io, statement, now_ns, has_begun: false, relay: None };
    let result = delete.run(database, selection).await;
    result.map_err(|error| match delete.has_begun {
        true => Error::PartlyApplied(error.to_string()),
        false => error,
    })
}

struct Delete<'a> {
    io: &'a Io,
    statement: Statement,
    now_ns: i64,
    has_begun: bool,
    /// The Database that sends the messages; `None` if the request may call all shards itself.
    relay: Option<Relay>,
}

struct Relay {
    database: ObjectId,
    messages_max: usize,
}

struct ShardTask {
    shard: ObjectId,
    stamp: Stamp,
    /// The sequence bound. Rows with a lower sequence are hidden.
    before: u64,
    deletions: Rc<[Deletion]>,
}

impl Delete<'_> {
    async fn run(&mut self, database: &str, selection: SchemaSelection) -> Result<()> {
        let mut retries = Retries::default();
        loop {
            // The statement must find every acknowledged row, so the state is loaded from the
            // owners.
            let loaded = Load::from_owner(database, selection.clone()).run(self.io).await?;
            let mut tasks = self.plan(&loaded).await?;
            self.relay = self.relay(&loaded, &tasks)?;
            if self.fetch_sequence_bounds(&mut tasks).await? && self.hide(&tasks).await? {
                return Ok(());
            }
            retries.count()?;
        }
    }

    /// Decides whether the Database must forward the messages to the shards. Returns the Database
    /// as relay if the request cannot make all calls itself, or an error if even the relay would
    /// need too many calls. Each shard needs two calls, and the request must not reach its limit of
    /// calls after it has deleted a row.
    fn relay(&self, loaded: &Loaded, tasks: &[ShardTask]) -> Result<Option<Relay>> {
        let before = self.io.calls_made();
        let limits = self.io.with(|context| context.platform.limits())?;
        let fits = |calls| before + calls + CALLS_RESERVED <= limits.calls_before_end();
        if fits(2 * tasks.len()) {
            return Ok(None);
        }
        // The messages with the same deletions have the same size.
        let same = tasks.chunk_by(|a, b| Rc::ptr_eq(&a.deletions, &b.deletions));
        let bytes = same.filter_map(<[ShardTask]>::first);
        let bytes = bytes.map(|task| envelope::encode(&hide_message(task)).len()).max();
        let messages_max = RELAYED_BYTES_MAX / bytes.unwrap_or(1).max(1);
        let messages_max =
            messages_max.min(limits.calls_before_end()).clamp(1, RELAYED_MESSAGES_MAX);
        let calls = 2 * tasks.len().div_ceil(messages_max);
        if fits(calls) {
            return Ok(Some(Relay { database: loaded.object.clone(), messages_max }));
        }
        let error = limits.exceeded(Limit::Calls, before, before + calls);
        let advice = "delete fewer measurements, or a shorter time range";
        Err(QueryError::Exceeded { error, advice }.into())
    }

    fn messages_max(&self) -> usize {
        self.relay.as_ref().map_or(CALLS_PER_ROUND_MAX, |relay| relay.messages_max)
    }

    /// Returns the deletions for each shard. Pauses between measurements, because the condition is
    /// compiled for each measurement.
    async fn plan(&self, loaded: &Loaded) -> Result<Vec<ShardTask>> {
        let policies = &loaded.description.policies;
        let names: Vec<&str> = policies.iter().map(|policy| policy.name.as_str()).collect();
        let deletions = Deletions::new(&self.statement, &names, self.now_ns)?;
        let text_bytes = self.statement.to_string().len();
        let most = (CONDITION_BYTES_MAX / text_bytes.max(1)).clamp(1, DELETIONS_PER_MESSAGE_MAX);
        let mut tasks = Vec::new();
        let mut terms = 0;
        for (id, schema) in &loaded.schemas {
            let Some(policy) = policies.iter().find(|policy| policy.id == *id) else { continue };
            let mut here = Vec::new();
            for deletion in deletions.within(&policy.name, schema) {
                here.push(deletion?);
                terms += deletions.terms();
                if terms >= TERMS_PER_TURN {
                    terms = 0;
                    self.io.pause(0).await;
                }
            }
            let stamp = loaded.stamp(policy.id);
            let mut bytes = 0;
            for deletions in here.chunks(most) {
                let deletions: Rc<[Deletion]> = deletions.into();
                let time = deletions.first().map(|deletion| deletion.time);
                let overlaps = |range| time.is_some_and(|time| time.overlaps(range));
                let groups = policy.groups.iter().filter(|group| overlaps(&group.range));
                let shards: Vec<_> = groups.flat_map(|group| &group.shards).collect();
                if shards.is_empty() {
                    continue;
                }
                bytes += envelope::encode(&delete_message(stamp, 0, &deletions)).len();
                if bytes > PENDING_DELETES_BYTES_MAX {
                    let reason = format!(
                        "the conditions for all measurements of policy \"{}\" exceed \
                         {PENDING_DELETES_BYTES_MAX} bytes (PENDING_DELETES_BYTES_MAX): name \
                         measurements in FROM, or select fewer values",
                        policy.name
                    );
                    return Err(QueryError::Invalid(reason).into());
                }
                tasks.extend(shards.into_iter().map(|shard| ShardTask {
                    shard: shard.clone(),
                    stamp,
                    before: 0,
                    deletions: Rc::clone(&deletions),
                }));
            }
        }
        Ok(tasks)
    }

    /// Sets each task's bound to the shard's next sequence, which the shard's statistics contain.
    /// Returns `false` if a shard's state is newer than the plan.
    async fn fetch_sequence_bounds(&self, tasks: &mut [ShardTask]) -> Result<bool> {
        for tasks in tasks.chunks_mut(self.messages_max()) {
            let replies = self.send(tasks, |_| ToShard::Stats).await?;
            for (task, reply) in tasks.iter_mut().zip(replies) {
                match reply {
                    FromShard::Stats(stats) => task.before = stats.next_sequence,
                    FromShard::Stale => return Ok(false),
                    reply => return Err(reply.into()),
                }
            }
        }
        Ok(true)
    }

    /// Requests that the shards hide the rows. Returns `false` if a shard's state is newer than the
    /// plan.
    async fn hide(&mut self, tasks: &[ShardTask]) -> Result<bool> {
        for tasks in tasks.chunks(self.messages_max()) {
            self.has_begun = true;
            for reply in self.send(tasks, hide_message).await? {
                match reply {
                    FromShard::Done => {}
                    FromShard::Stale => return Ok(false),
                    reply => return Err(reply.into()),
                }
            }
        }
        Ok(true)
    }

    async fn send(
        &self,
        tasks: &[ShardTask],
        message: impl Fn(&ShardTask) -> ToShard,
    ) -> Result<Vec<FromShard>> {
        let messages = tasks.iter().map(|task| (task.shard.clone(), message(task)));
        let Some(relay) = &self.relay else {
            let request =
                |(shard, message)| Request::new(Address::Shard(shard), envelope::encode(&message));
            let replies = self.io.calls(messages.map(request).collect()).await;
            return replies.into_iter().map(|reply| Ok(envelope::decode_reply(reply)?)).collect();
        };
        let message = ToDatabase::Relay(messages.collect());
        match self.io.call_database(&relay.database, &message).await? {
            FromDatabase::Relayed(replies) if replies.len() == tasks.len() => Ok(replies),
            reply => Err(reply.into()),
        }
    }
}

fn hide_message(task: &ShardTask) -> ToShard {
    delete_message(task.stamp, task.before, &task.deletions)
}

fn delete_message(stamp: Stamp, before: u64, deletions: &[Deletion]) -> ToShard {
    ToShard::Delete { stamp, before, deletions: deletions.to_vec() }
}
