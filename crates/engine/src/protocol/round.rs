//! Sends several calls together and collects their replies.

use super::call::{Address, Call, CallFailure, Reply};
use super::envelope::{self, Wire};

/// The reply to one call, or the reason why it failed.
pub type CallResult = Result<Vec<u8>, CallFailure>;

/// The replies to all calls of a round, in the order of their requests.
pub type Replies = Vec<CallResult>;

/// The next step of a state machine or of an object's event handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// The caller must send these requests together, and continue when all requests have a reply.
    Calls(Vec<Request>),
    /// The work is finished. The caller must return this reply to its caller.
    Reply(T),
}

impl<T> Next<T> {
    /// Returns the step that sends one message to `to`.
    pub fn call(to: Address, message: &impl Wire) -> Self {
        Self::Calls(vec![Request::new(to, envelope::encode(message))])
    }
}

/// A set of pending calls. The round ignores repeated replies and replies to earlier rounds.
#[derive(Debug, Default)]
pub struct Round {
    first_id: u32,
    replies: Vec<Option<CallResult>>,
    missing: usize,
}

/// A message and its destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The destination.
    pub to: Address,
    /// The location hint for a new object ([`Call::location`]).
    pub location: Option<String>,
    /// The encoded message.
    pub message: Vec<u8>,
}

impl Request {
    /// Creates a request without a location hint for a new object.
    pub fn new(to: Address, message: Vec<u8>) -> Self {
        Self { to, location: None, message }
    }

    /// Creates a request that pauses for `ms` milliseconds. 0 lets other pending events run once.
    pub fn pause(ms: u32) -> Self {
        Self::new(Address::Timer { ms }, Vec::new())
    }
}

impl Round {
    /// Starts a round and assigns its call ids.
    pub fn start(&mut self, requests: Vec<Request>) -> Vec<Call> {
        let next = u32::try_from(self.replies.len()).unwrap_or(u32::MAX);
        self.first_id = self.first_id.wrapping_add(next);
        self.replies = vec![None; requests.len()];
        self.missing = requests.len();
        let ids = (0..).map(|position: u32| self.first_id.wrapping_add(position));
        let call = |(id, request): (u32, Request)| Call {
            id,
            to: request.to,
            location: request.location,
            message: request.message,
        };
        ids.zip(requests).map(call).collect()
    }

    /// Stores a reply. Returns all replies, in the order of the requests, if the round is complete.
    pub fn add_reply(&mut self, reply: Reply) -> Option<Replies> {
        let position = reply.id.wrapping_sub(self.first_id) as usize;
        let slot = self.replies.get_mut(position)?;
        if slot.is_none() && self.missing > 0 {
            *slot = Some(reply.result);
            self.missing -= 1;
            if self.missing == 0 {
                return self.replies.iter_mut().map(Option::take).collect();
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(byte: u8) -> Request {
        Request::new(Address::Catalog, vec![byte])
    }

    #[test]
    fn replies_keep_request_order() {
        let mut round = Round::default();
        let calls = round.start(vec![request(1), request(2)]);
        let ids: Vec<u32> = calls.iter().map(|call| call.id).collect();
        assert_eq!(round.add_reply(Reply { id: ids[1], result: Ok(vec![20]) }), None);
        assert_eq!(round.add_reply(Reply { id: ids[1], result: Ok(vec![99]) }), None, "a repeat");
        let complete = round.add_reply(Reply { id: ids[0], result: Err(CallFailure::Overloaded) });
        assert_eq!(complete, Some(vec![Err(CallFailure::Overloaded), Ok(vec![20])]));
    }

    #[test]
    fn late_reply_of_earlier_round_ignored() {
        let mut round = Round::default();
        let old = round.start(vec![request(1)]);
        assert!(round.add_reply(Reply { id: old[0].id, result: Ok(vec![]) }).is_some());
        let new = round.start(vec![request(2)]);
        assert_eq!(round.add_reply(Reply { id: old[0].id, result: Ok(vec![1]) }), None);
        assert_eq!(
            round.add_reply(Reply { id: new[0].id, result: Ok(vec![2]) }),
            Some(vec![Ok(vec![2])])
        );
        assert_eq!(round.add_reply(Reply { id: new[0].id, result: Ok(vec![3]) }), None, "a repeat");
    }
}
