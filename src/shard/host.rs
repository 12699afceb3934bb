//! A shard as an object: bytes in, bytes out. It calls nobody, so every event is done at once.

use super::Shard;
use crate::protocol::call::{Platform, Reply, Step};
use crate::protocol::envelope;
use crate::protocol::host::{Host, Ticket, Unavailable};
use crate::protocol::shard::{FromShard, ToShard};
use crate::store::Store;

/// A [`Shard`] and when it wants to be woken.
pub struct ShardHost<S: Store> {
    shard: Shard<S>,
    due_ns: Option<i64>,
}

/// Events never overlap, so one ticket serves them all.
const TICKET: Ticket = Ticket(0);

impl<S: Store> ShardHost<S> {
    /// Wraps a shard. Nothing is due until its first event: an alarm set before is still set.
    pub fn new(shard: Shard<S>) -> Self {
        Self { shard, due_ns: None }
    }
}

impl<S: Store> Host for ShardHost<S> {
    fn begin(&mut self, platform: &dyn Platform, message: &[u8]) -> (Ticket, Step<Vec<u8>>) {
        let now_ns = platform.now_ns();
        let reply = match envelope::decode::<ToShard>(message) {
            Ok((version, message)) => {
                envelope::encode_as(version, &self.shard.handle(&message, now_ns))
            }
            Err(error) => {
                let why = Unavailable::Unreachable(error.to_string());
                envelope::encode(&FromShard::Unavailable(why))
            }
        };
        self.due_ns = self.shard.next_due(now_ns);
        (TICKET, Step::Done(reply))
    }

    fn resume(&mut self, _: &dyn Platform, _: Ticket, _: Reply) -> Step<Vec<u8>> {
        Step::Calls(Vec::new())
    }

    fn alarm(&mut self, platform: &dyn Platform) -> (Ticket, Step<Vec<u8>>) {
        self.due_ns = self.shard.alarm(platform.now_ns());
        (TICKET, Step::Done(Vec::new()))
    }

    fn next_alarm_ns(&self) -> Option<i64> {
        self.due_ns
    }

    fn abandon(&mut self, _: Ticket) {}
}
