//! Checks whether all objects of a database can return to the target time, before a recovery
//! changes any state.
//!
//! The platform's history of an object begins at most [`PAST_BEGINS_NS_MAX`] after the object's
//! creation. The start of the history determines the result:
//!
//! - If the history contains the target time, the object can return to that time.
//! - If the history begins more than [`PAST_BEGINS_NS_MAX`] after the target time, the object did
//!   not exist at that time and needs no history of that time.
//! - If the history begins between these times, the object may have belonged to the database at the
//!   target time. The database then cannot return to that time.

use std::collections::VecDeque;

use crate::model::limits::{CALLS_PER_ROUND_MAX, PAST_BEGINS_NS_MAX, RECOVERY_AGO_NS_MIN};
use crate::protocol::call::Address;
use crate::protocol::envelope;
use crate::protocol::host::Unavailable;
use crate::protocol::recovery::{FromStorage, RecoveryRefusal, ToStorage};
use crate::protocol::round::{Replies, Request};

#[derive(Debug)]
pub(super) struct HistoryCheck {
    /// The target time, in nanoseconds.
    time_ns: i64,
    /// A second time, in nanoseconds. Each object must also be able to return to this time, so that
    /// the recovery can be undone.
    undo_ns: i64,
    left: VecDeque<CheckedObject>,
    answered: usize,
    pub(super) shards: u64,
}

#[derive(Debug)]
struct CheckedObject {
    to: Address,
    time_ns: i64,
    wanted: ExpectedHistory,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExpectedHistory {
    Past,
    Either,
    NoPast,
}

impl HistoryCheck {
    pub(super) fn new(database: Address, shards: Vec<Address>, time_ns: i64, now_ns: i64) -> Self {
        let count = shards.len() as u64;
        let look = |to, wanted| CheckedObject { to, time_ns, wanted };
        let shards = shards.into_iter().map(|shard| look(shard, ExpectedHistory::Either));
        let left = std::iter::once(look(database, ExpectedHistory::Past)).chain(shards).collect();
        let undo_ns = now_ns - RECOVERY_AGO_NS_MIN;
        Self { time_ns, undo_ns, left, answered: 0, shards: count }
    }

    pub(super) fn calls(&self) -> usize {
        self.answered + self.left.len()
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        let next = self.left.iter().take(CALLS_PER_ROUND_MAX);
        let request = |look: &CheckedObject| {
            let message = ToStorage::Look { time_ns: look.time_ns };
            Request::new(look.to.clone(), envelope::encode(&message))
        };
        next.map(request).collect()
    }

    /// Processes the replies. Returns the reason if the database cannot return to the target time.
    pub(super) fn on_replies(
        &mut self,
        replies: Replies,
    ) -> Result<Option<RecoveryRefusal>, Unavailable> {
        for reply in replies {
            let Some(CheckedObject { to, wanted, .. }) = self.left.pop_front() else { break };
            self.answered += 1;
            match (envelope::decode_reply(reply).map_err(Unavailable::from)?, wanted) {
                (FromStorage::Looked { .. }, ExpectedHistory::Past | ExpectedHistory::Either)
                | (FromStorage::Young(_), ExpectedHistory::NoPast) => {}
                (FromStorage::Young(_), ExpectedHistory::Either) => {
                    let made_since = self.time_ns.saturating_add(PAST_BEGINS_NS_MAX);
                    let looks = [
                        (self.undo_ns, ExpectedHistory::Past),
                        (made_since, ExpectedHistory::NoPast),
                    ];
                    self.left.extend(looks.map(|(time_ns, wanted)| CheckedObject {
                        to: to.clone(),
                        time_ns,
                        wanted,
                    }));
                }
                (FromStorage::Young(reason), ExpectedHistory::Past)
                    if matches!(to, Address::Database(_)) =>
                {
                    return Ok(Some(RecoveryRefusal::Failed(reason)));
                }
                (FromStorage::Young(_), ExpectedHistory::Past)
                | (FromStorage::Looked { .. }, ExpectedHistory::NoPast) => {
                    return Ok(Some(RecoveryRefusal::BeingMade));
                }
                (FromStorage::Unsupported(reason), _) => {
                    return Ok(Some(RecoveryRefusal::Unsupported(reason)));
                }
                (FromStorage::Failed(reason), _) => {
                    return Ok(Some(RecoveryRefusal::Failed(reason)));
                }
                (FromStorage::Armed | FromStorage::Another, _) => {
                    return Err(Unavailable::Changing);
                }
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::ObjectId;
    use crate::model::time::{H_NS, MINUTE_NS, S_NS};

    /// Returns the result for a database with two shards. One shard's history begins at
    /// `past_from_ns`; the other shard has always had a history. The current time is ten hours
    /// after the epoch.
    fn look(time_ns: i64, past_from_ns: i64) -> Result<(), RecoveryRefusal> {
        let [database, old, young] = ["d", "o", "y"].map(|id| ObjectId(id.to_owned()));
        let young = Address::Shard(young);
        let shards = vec![Address::Shard(old), young.clone()];
        let mut looking =
            HistoryCheck::new(Address::Database(database), shards, time_ns, 10 * H_NS);
        loop {
            let requests = looking.requests();
            if requests.is_empty() {
                return Ok(());
            }
            let answer = |request: &Request| {
                let Ok((_, ToStorage::Look { time_ns })) = envelope::decode(&request.message)
                else {
                    panic!("not a look");
                };
                Ok(envelope::encode(&match request.to == young && time_ns < past_from_ns {
                    true => FromStorage::Young(String::new()),
                    false => FromStorage::Looked { life: 1 },
                }))
            };
            let learnt = looking.on_replies(requests.iter().map(answer).collect());
            if let Some(refusal) = learnt.unwrap() {
                return Err(refusal);
            }
        }
    }

    #[test]
    fn younger_shards_need_no_history() {
        assert_eq!(look(5 * H_NS, 0), Ok(()));
        assert_eq!(look(5 * H_NS, 6 * H_NS), Ok(()), "made since");
        // A recovery began at the target time, and created shards immediately after its end.
        assert_eq!(look(5 * H_NS, 5 * H_NS + 106 * S_NS), Ok(()));
        // The shard's history begins a minute after its creation, so the shard may have existed at
        // the target time.
        assert_eq!(look(5 * H_NS, 5 * H_NS + S_NS), Err(RecoveryRefusal::BeingMade));
        assert_eq!(look(5 * H_NS, 5 * H_NS + MINUTE_NS), Err(RecoveryRefusal::BeingMade));
    }

    #[test]
    fn new_shard_delays_recovery() {
        assert_eq!(look(5 * H_NS, 10 * H_NS - MINUTE_NS), Err(RecoveryRefusal::BeingMade));
        assert_eq!(look(5 * H_NS, i64::MAX), Err(RecoveryRefusal::BeingMade));
    }

    #[test]
    fn history_check_counts_young_objects_thrice() {
        let shards = ["a", "b"].map(|id| Address::Shard(ObjectId(id.to_owned())));
        let database = Address::Database(ObjectId("d".to_owned()));
        let mut check = HistoryCheck::new(database, shards.to_vec(), 5 * H_NS, 10 * H_NS);
        assert_eq!(check.calls(), 3);
        let replies = [
            FromStorage::Looked { life: 1 },
            FromStorage::Young(String::new()),
            FromStorage::Looked { life: 1 },
        ];
        let replies = replies.map(|reply| Ok(envelope::encode(&reply)));
        assert_eq!(check.on_replies(replies.into()).unwrap(), None);
        assert_eq!(check.calls(), 5);
    }
}
