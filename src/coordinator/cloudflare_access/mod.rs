//! Lets in as administrator whom Cloudflare Access has let through: by the assertion that it puts
//! into a request's head, a JSON web token that the team's key has signed.
//!
//! Claims are judged first, since they cost nothing; then the key is looked up and the signature
//! checked, which is the runtime's part. A key that is not known is fetched, by one request of the
//! isolate at a time and at most once a minute: whoever makes assertions up costs no more.

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

/// How long is waited before it is looked whether another request has brought the keys,
/// milliseconds.
const TURN_MS: u32 = 20;

/// What an assertion came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its bearer is the administrator.
    Admitted,
    /// It says nothing, or something false.
    Refused,
    /// The keys of the team are not to be had, and why.
    Unverified(String),
}

/// An assertion being checked.
pub struct AccessLogin {
    application: Rc<Application>,
    token: String,
    waiting: Waiting,
    round: Round,
}

impl std::fmt::Debug for AccessLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccessLogin(..)")
    }
}

enum Waiting {
    /// For nothing, or for its turn.
    Turn,
    Keys,
    Signature,
}

impl AccessLogin {
    /// Prepares the check.
    pub fn new(application: &Rc<Application>, token: &str) -> Self {
        let (application, token) = (Rc::clone(application), token.to_owned());
        Self { application, token, waiting: Waiting::Turn, round: Round::default() }
    }

    /// Judges the claims, and has the signature checked or the keys fetched.
    fn look(&mut self, context: &mut Context<'_>) -> Turn<Verdict> {
        let now_ns = context.platform.now_ns();
        let assertion = Assertion::read(&self.token, &self.application, now_ns.div_euclid(S_NS));
        let Some(assertion) = assertion else { return Ok(Next::Reply(Verdict::Refused)) };
        let (waiting, request) = match context.cache.access_keys.look(&assertion.key, now_ns) {
            Lookup::Known(key) => {
                let (signed, signature) = (assertion.signed, assertion.signature);
                let check = SignatureCheck {
                    modulus: &key.n,
                    exponent: &key.e,
                    signature: &signature,
                    signed,
                };
                (Waiting::Signature, check.request())
            }
            Lookup::Fetch => (Waiting::Keys, Request::new(Address::AccessKeys, Vec::new())),
            Lookup::Wait => (Waiting::Turn, Request::pause(TURN_MS)),
            Lookup::Unknown => return Ok(Next::Reply(Verdict::Refused)),
            Lookup::NotHad(why) => return Ok(Next::Reply(Verdict::Unverified(why))),
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

    fn go_on(&mut self, context: &mut Context<'_>, mut replies: Replies) -> Turn<Verdict> {
        match (&self.waiting, replies.pop()) {
            (Waiting::Signature, Some(reply)) => {
                let is_true = reply.is_ok_and(|answer| answer == [1]);
                let verdict = if is_true { Verdict::Admitted } else { Verdict::Refused };
                return Ok(Next::Reply(verdict));
            }
            (Waiting::Keys, Some(reply)) => {
                let body = reply.map_err(|failure| failure.to_string());
                context.cache.access_keys.learn(body, context.platform.now_ns());
            }
            _ => {}
        }
        self.look(context)
    }
}
