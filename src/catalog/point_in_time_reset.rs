//! Resets objects to an earlier time. The module checks each object, prepares the reset, restarts
//! the object, and checks the object again.
//!
//! A delayed message must never reset an object that has accepted new data in the meantime. Each
//! message therefore names the checked instance of the object, and any other instance ignores the
//! message.

use crate::protocol::call::Address;
use crate::protocol::envelope;
use crate::protocol::host::Unavailable;
use crate::protocol::recovery::{FromStorage, ToStorage};
use crate::protocol::round::{Replies, Request};

#[derive(Debug)]
pub(super) struct PointInTimeReset {
    targets: Vec<Address>,
    /// For each target, the instance that must end.
    lives: Vec<u64>,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Look,
    Arm,
    Restart,
    CheckAgain,
}

impl PointInTimeReset {
    pub(super) fn new(targets: Vec<Address>) -> Self {
        Self { targets, lives: Vec::new(), step: Step::Look }
    }

    pub(super) fn count(&self) -> u64 {
        self.targets.len() as u64
    }

    pub(super) fn requests(&self, time_ns: i64) -> Vec<Request> {
        let lives = self.lives.iter().copied().chain(std::iter::repeat(0));
        let message = |life: u64| match self.step {
            Step::Look | Step::CheckAgain => ToStorage::Look { time_ns },
            Step::Arm => ToStorage::Arm { life, time_ns },
            Step::Restart => ToStorage::Restart { life },
        };
        let of = |(to, life): (&Address, u64)| {
            Request::new(to.clone(), envelope::encode(&message(life)))
        };
        self.targets.iter().zip(lives).map(of).collect()
    }

    pub(super) fn on_replies(&mut self, replies: Replies) -> Result<bool, Unavailable> {
        let mut lives = Vec::new();
        for reply in replies {
            let reply = envelope::decode_reply::<FromStorage>(reply);
            // Usually, an instance that ends sends no reply.
            if self.step == Step::Restart {
                continue;
            }
            match (reply.map_err(Unavailable::from)?, self.step) {
                (FromStorage::Looked { life }, Step::Look | Step::CheckAgain) => lives.push(life),
                (FromStorage::Armed, Step::Arm) => {}
                (
                    FromStorage::Unsupported(reason)
                    | FromStorage::Failed(reason)
                    | FromStorage::Young(reason),
                    _,
                ) => return Err(Unavailable::Storage(reason)),
                _ => return Err(Unavailable::Changing),
            }
        }
        self.step = match self.step {
            Step::Look => {
                self.lives = lives;
                Step::Arm
            }
            Step::Arm => Step::Restart,
            Step::Restart => Step::CheckAgain,
            Step::CheckAgain => {
                let same = self.lives.iter().zip(&lives).any(|(before, now)| before == now);
                return match same {
                    true => Err(Unavailable::Changing),
                    false => Ok(true),
                };
            }
        };
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::ObjectId;
    use crate::protocol::call::CallFailure;

    fn replies(replies: &[FromStorage]) -> Replies {
        replies.iter().map(|reply| Ok(envelope::encode(reply))).collect()
    }

    fn one() -> PointInTimeReset {
        PointInTimeReset::new(vec![Address::Shard(ObjectId("s".to_owned()))])
    }

    #[test]
    fn reset_completes_in_new_object_life() {
        let looked = |life| replies(&[FromStorage::Looked { life }]);
        let lost = || vec![Err(CallFailure::Retryable("lost".to_owned()))];
        for (last, is_back) in [(looked(8), true), (looked(7), false), (lost(), false)] {
            let mut going = one();
            assert!(!going.on_replies(looked(7)).unwrap());
            let arm = ToStorage::Arm { life: 7, time_ns: 3 };
            assert_eq!(going.requests(3)[0].message, envelope::encode(&arm));
            assert!(!going.on_replies(replies(&[FromStorage::Armed])).unwrap());
            assert!(!going.on_replies(lost()).unwrap());
            assert_eq!(going.on_replies(last).is_ok_and(|back| back), is_back);
        }
    }

    #[test]
    fn reset_needs_successful_arming() {
        for reply in [FromStorage::Another, FromStorage::Failed("too old".to_owned())] {
            let mut going = one();
            going.on_replies(replies(&[FromStorage::Looked { life: 7 }])).unwrap();
            assert!(going.on_replies(replies(&[reply])).is_err());
            assert_eq!(going.step, Step::Arm);
        }
    }
}
