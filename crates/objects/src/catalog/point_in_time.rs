//! Checks whether the platform can return objects to an earlier time, and resets the objects.
//! [`super::recovery`] determines which objects are reset, and when.

use std::collections::VecDeque;

use tidemark_engine::protocol::call::Address;
use tidemark_engine::protocol::envelope;
use tidemark_engine::protocol::event::Unavailable;
use tidemark_engine::protocol::recovery::{FromStorage, RecoveryRefusal, ToStorage};
use tidemark_engine::protocol::round::{Replies, Request};
use tidemark_model::limits::{CALLS_PER_ROUND_MAX, HISTORY_START_NS_MAX, RECOVERY_AGO_NS_MIN};

/// The check, before a recovery changes any state, that all objects of the database can be reset to
/// the target time.
///
/// The platform's history of an object begins at most [`HISTORY_START_NS_MAX`] after the object's
/// creation. The start of the history determines the result:
///
/// - If the history contains the target time, the object can return to that time.
/// - If the history begins more than [`HISTORY_START_NS_MAX`] after the target time, the object did
///   not exist at that time and needs no history of that time.
/// - If the history begins after the target time, but at most [`HISTORY_START_NS_MAX`] later, the
///   object may already have existed at the target time. The database then cannot return to that
///   time.
pub(super) struct HistoryCheck {
    /// The target time, in nanoseconds.
    time_ns: i64,
    /// A second time, in nanoseconds. Each object must also be able to return to this time, so that
    /// the recovery can be undone.
    undo_ns: i64,
    left: VecDeque<CheckedObject>,
    replies: usize,
    pub(super) shards: u64,
}

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
        let check = |to, wanted| CheckedObject { to, time_ns, wanted };
        let shards = shards.into_iter().map(|shard| check(shard, ExpectedHistory::Either));
        let left = std::iter::once(check(database, ExpectedHistory::Past)).chain(shards).collect();
        let undo_ns = now_ns - RECOVERY_AGO_NS_MIN;
        Self { time_ns, undo_ns, left, replies: 0, shards: count }
    }

    pub(super) fn calls(&self) -> usize {
        self.replies + self.left.len()
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        let next = self.left.iter().take(CALLS_PER_ROUND_MAX);
        let request = |object: &CheckedObject| {
            let message = ToStorage::CheckHistory { time_ns: object.time_ns };
            Request::new(object.to.clone(), envelope::encode(&message))
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
            self.replies += 1;
            match (envelope::decode_reply(reply).map_err(Unavailable::from)?, wanted) {
                (
                    FromStorage::HasHistory { .. },
                    ExpectedHistory::Past | ExpectedHistory::Either,
                )
                | (FromStorage::LacksHistory(_), ExpectedHistory::NoPast) => {}
                (FromStorage::LacksHistory(_), ExpectedHistory::Either) => {
                    let made_since = self.time_ns.saturating_add(HISTORY_START_NS_MAX);
                    let checks = [
                        (self.undo_ns, ExpectedHistory::Past),
                        (made_since, ExpectedHistory::NoPast),
                    ];
                    self.left.extend(checks.map(|(time_ns, wanted)| CheckedObject {
                        to: to.clone(),
                        time_ns,
                        wanted,
                    }));
                }
                (FromStorage::LacksHistory(reason), ExpectedHistory::Past)
                    if matches!(to, Address::Database(_)) =>
                {
                    return Ok(Some(RecoveryRefusal::Failed(reason)));
                }
                (FromStorage::LacksHistory(_), ExpectedHistory::Past)
                | (FromStorage::HasHistory { .. }, ExpectedHistory::NoPast) => {
                    return Ok(Some(RecoveryRefusal::BeingMade));
                }
                (FromStorage::Unsupported(reason), _) => {
                    return Ok(Some(RecoveryRefusal::Unsupported(reason)));
                }
                (FromStorage::Failed(reason), _) => {
                    return Ok(Some(RecoveryRefusal::Failed(reason)));
                }
                (FromStorage::StateSelected | FromStorage::OtherInstance, _) => {
                    return Err(Unavailable::Changing);
                }
            }
        }
        Ok(None)
    }
}

/// The reset of objects to an earlier time, which checks each object, prepares the reset, restarts
/// the object, and checks the object again.
///
/// A delayed message must never reset an object that has accepted new data in the meantime. Each
/// message therefore names the checked instance of the object, and any other instance ignores the
/// message.
pub(super) struct PointInTimeReset {
    pub(super) targets: Vec<Address>,
    /// For each target, the instance that must end.
    instances: Vec<u64>,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    CheckHistory,
    SelectState,
    Restart,
    CheckAgain,
}

impl PointInTimeReset {
    pub(super) fn new(targets: Vec<Address>) -> Self {
        Self { targets, instances: Vec::new(), step: Step::CheckHistory }
    }

    pub(super) fn requests(&self, time_ns: i64) -> Vec<Request> {
        let instances = self.instances.iter().copied().chain(std::iter::repeat(0));
        let message = |instance: u64| match self.step {
            Step::CheckHistory | Step::CheckAgain => ToStorage::CheckHistory { time_ns },
            Step::SelectState => ToStorage::SelectState { instance, time_ns },
            Step::Restart => ToStorage::Restart { instance },
        };
        let of = |(to, instance): (&Address, u64)| {
            Request::new(to.clone(), envelope::encode(&message(instance)))
        };
        self.targets.iter().zip(instances).map(of).collect()
    }

    /// Returns whether the reset is complete.
    pub(super) fn on_replies(&mut self, replies: Replies) -> Result<bool, Unavailable> {
        let mut instances = Vec::new();
        for reply in replies {
            let reply = envelope::decode_reply::<FromStorage>(reply);
            // Usually, an instance that ends sends no reply.
            if self.step == Step::Restart {
                continue;
            }
            match (reply.map_err(Unavailable::from)?, self.step) {
                (FromStorage::HasHistory { instance }, Step::CheckHistory | Step::CheckAgain) => {
                    instances.push(instance);
                }
                (FromStorage::StateSelected, Step::SelectState) => {}
                (
                    FromStorage::Unsupported(reason)
                    | FromStorage::Failed(reason)
                    | FromStorage::LacksHistory(reason),
                    _,
                ) => return Err(Unavailable::Storage(reason)),
                _ => return Err(Unavailable::Changing),
            }
        }
        self.step = match self.step {
            Step::CheckHistory => {
                self.instances = instances;
                Step::SelectState
            }
            Step::SelectState => Step::Restart,
            Step::Restart => Step::CheckAgain,
            Step::CheckAgain => {
                let same = self.instances.iter().zip(&instances).any(|(before, now)| before == now);
                return if same { Err(Unavailable::Changing) } else { Ok(true) };
            }
        };
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemark_engine::protocol::call::CallFailure;
    use tidemark_model::ids::ObjectId;
    use tidemark_model::time::{H_NS, MINUTE_NS, S_NS};

    /// Returns the result for a database with two shards. One shard's history begins at
    /// `past_from_ns`; the other shard has always had a history. The current time is ten hours
    /// after the epoch.
    fn check(time_ns: i64, past_from_ns: i64) -> Result<(), RecoveryRefusal> {
        let [database, old, young] = ["d", "o", "y"].map(|id| ObjectId(id.to_owned()));
        let young = Address::Shard(young);
        let shards = vec![Address::Shard(old), young.clone()];
        let mut history_check =
            HistoryCheck::new(Address::Database(database), shards, time_ns, 10 * H_NS);
        loop {
            let requests = history_check.requests();
            if requests.is_empty() {
                return Ok(());
            }
            let answer = |request: &Request| {
                let Ok((_, ToStorage::CheckHistory { time_ns })) =
                    envelope::decode(&request.message)
                else {
                    panic!("not a check");
                };
                Ok(envelope::encode(&match request.to == young && time_ns < past_from_ns {
                    true => FromStorage::LacksHistory(String::new()),
                    false => FromStorage::HasHistory { instance: 1 },
                }))
            };
            let result = history_check.on_replies(requests.iter().map(answer).collect());
            if let Some(refusal) = result.unwrap() {
                return Err(refusal);
            }
        }
    }

    #[test]
    fn younger_shards_need_no_history() {
        assert_eq!(check(5 * H_NS, 0), Ok(()));
        assert_eq!(check(5 * H_NS, 6 * H_NS), Ok(()), "made since");
        // A recovery began at the target time, and created shards immediately after its end.
        assert_eq!(check(5 * H_NS, 5 * H_NS + 106 * S_NS), Ok(()));
        // The shard's history begins a minute after its creation, so the shard may have existed at
        // the target time.
        assert_eq!(check(5 * H_NS, 5 * H_NS + S_NS), Err(RecoveryRefusal::BeingMade));
        assert_eq!(check(5 * H_NS, 5 * H_NS + MINUTE_NS), Err(RecoveryRefusal::BeingMade));
        assert_eq!(check(5 * H_NS, 10 * H_NS - MINUTE_NS), Err(RecoveryRefusal::BeingMade));
        assert_eq!(check(5 * H_NS, i64::MAX), Err(RecoveryRefusal::BeingMade));
    }

    #[test]
    fn history_check_counts_young_objects_thrice() {
        let shards = ["a", "b"].map(|id| Address::Shard(ObjectId(id.to_owned())));
        let database = Address::Database(ObjectId("d".to_owned()));
        let mut check = HistoryCheck::new(database, shards.to_vec(), 5 * H_NS, 10 * H_NS);
        assert_eq!(check.calls(), 3);
        let replies = [
            FromStorage::HasHistory { instance: 1 },
            FromStorage::LacksHistory(String::new()),
            FromStorage::HasHistory { instance: 1 },
        ];
        let replies = replies.map(|reply| Ok(envelope::encode(&reply)));
        assert_eq!(check.on_replies(replies.into()).unwrap(), None);
        assert_eq!(check.calls(), 5);
    }

    fn replies(replies: &[FromStorage]) -> Replies {
        replies.iter().map(|reply| Ok(envelope::encode(reply))).collect()
    }

    fn one() -> PointInTimeReset {
        PointInTimeReset::new(vec![Address::Shard(ObjectId("s".to_owned()))])
    }

    #[test]
    fn reset_completes_in_new_object_life() {
        let has_history = |instance| replies(&[FromStorage::HasHistory { instance }]);
        let lost = || vec![Err(CallFailure::Retryable("lost".to_owned()))];
        for (last, is_back) in [(has_history(8), true), (has_history(7), false), (lost(), false)] {
            let mut reset = one();
            assert!(!reset.on_replies(has_history(7)).unwrap());
            let select = ToStorage::SelectState { instance: 7, time_ns: 3 };
            assert_eq!(reset.requests(3)[0].message, envelope::encode(&select));
            assert!(!reset.on_replies(replies(&[FromStorage::StateSelected])).unwrap());
            assert!(!reset.on_replies(lost()).unwrap());
            assert_eq!(reset.on_replies(last).is_ok_and(|back| back), is_back);
        }
    }

    #[test]
    fn reset_needs_successful_arming() {
        for reply in [FromStorage::OtherInstance, FromStorage::Failed("too old".to_owned())] {
            let mut reset = one();
            reset.on_replies(replies(&[FromStorage::HasHistory { instance: 7 }])).unwrap();
            assert!(reset.on_replies(replies(&[reply])).is_err());
            assert_eq!(reset.step, Step::SelectState);
        }
    }
}
