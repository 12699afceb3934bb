//! Admits a request as administrator if its head contains a valid assertion of Cloudflare Access: a
//! JSON web token that the team's key signed.
//!
//! Claims are checked first, because this check is cheap. Then the isolate looks up the key, and
//! the runtime checks the signature. An unknown key causes a fetch of the keys. To bound the cost
//! of forged assertions, only one request of the isolate fetches at a time, and the isolate fetches
//! at most once a minute.

mod assertion;
mod keys;
#[cfg(test)]
mod tests;

use std::rc::Rc;

pub use assertion::{Application, ApplicationError};
pub use keys::AccessKeys;

use super::{Context, RoundMachine, Turn};
use crate::model::time::S_NS;
use crate::protocol::call::Address;
use crate::protocol::round::{Next, Replies, Request, Round};
use crate::protocol::signature_check::SignatureCheck;
use assertion::Assertion;
use keys::Lookup;

/// The pause, in milliseconds, between two checks whether another request has fetched the keys.
const TURN_MS: u32 = 20;

/// The result of checking an assertion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The client is an administrator.
    Admitted,
    /// The assertion is missing, invalid, or for another application.
    Refused,
    /// The team's keys cannot be fetched, for this reason.
    Unverified(String),
}

/// The check of an assertion, in progress.
pub struct AccessLogin {
    application: Rc<Application>,
    token: String,
    waiting: AwaitedReply,
    round: Round,
}

impl std::fmt::Debug for AccessLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccessLogin(..)")
    }
}

enum AwaitedReply {
    /// The check waits for no reply, or waits for another request's fetch.
    Turn,
    Keys,
    Signature,
}

impl AccessLogin {
    /// Prepares the check.
    pub fn new(application: &Rc<Application>, token: &str) -> Self {
        let (application, token) = (Rc::clone(application), token.to_owned());
        Self { application, token, waiting: AwaitedReply::Turn, round: Round::default() }
    }

    fn check(&mut self, context: &mut Context<'_>) -> Turn<Verdict> {
        let now_ns = context.platform.now_ns();
        let assertion = Assertion::read(&self.token, &self.application, now_ns.div_euclid(S_NS));
        let Some(assertion) = assertion else { return Ok(Next::Reply(Verdict::Refused)) };
        let (waiting, request) = match context.cache.access_keys.check(&assertion.key, now_ns) {
            Lookup::Known(key) => {
                let (signed, signature) = (assertion.signed, assertion.signature);
                let check = SignatureCheck {
                    modulus: &key.n,
                    exponent: &key.e,
                    signature: &signature,
                    signed,
                };
                (AwaitedReply::Signature, check.request())
            }
            Lookup::Fetch => (AwaitedReply::Keys, Request::new(Address::AccessKeys, Vec::new())),
            Lookup::Wait => (AwaitedReply::Turn, Request::pause(TURN_MS)),
            Lookup::Unknown => return Ok(Next::Reply(Verdict::Refused)),
            Lookup::Unavailable(reason) => return Ok(Next::Reply(Verdict::Unverified(reason))),
        };
        self.waiting = waiting;
        Ok(Next::Calls(vec![request]))
    }
}

impl RoundMachine for AccessLogin {
    type Reply = Verdict;

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn take_turn(&mut self, context: &mut Context<'_>, mut replies: Replies) -> Turn<Verdict> {
        match (&self.waiting, replies.pop()) {
            (AwaitedReply::Signature, Some(reply)) => {
                let is_true = reply.is_ok_and(|answer| answer == [1]);
                let verdict = if is_true { Verdict::Admitted } else { Verdict::Refused };
                return Ok(Next::Reply(verdict));
            }
            (AwaitedReply::Keys, Some(reply)) => {
                let body = reply.map_err(|failure| failure.to_string());
                context.cache.access_keys.on_reply(body, context.platform.now_ns());
            }
            _ => {}
        }
        self.check(context)
    }
}
