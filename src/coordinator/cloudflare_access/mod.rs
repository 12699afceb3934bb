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

use super::Task;
use crate::model::time::S_NS;
use crate::protocol::call::Address;
use crate::protocol::round::Request;
use crate::protocol::web_crypto::SignatureCheck;
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

/// Checks the assertion `token`.
pub fn check_assertion(application: &Rc<Application>, token: &str) -> Task<Verdict> {
    let (application, token) = (Rc::clone(application), token.to_owned());
    Task::new(|io| async move {
        loop {
            let now_ns = io.with(|context| context.platform.now_ns())?;
            let assertion = Assertion::read(&token, &application, now_ns.div_euclid(S_NS));
            let Some(assertion) = assertion else { return Ok(Verdict::Refused) };
            match io.with(|context| context.cache.access_keys.check(&assertion.key, now_ns))? {
                Lookup::Known(key) => {
                    let check = SignatureCheck {
                        modulus: &key.n,
                        exponent: &key.e,
                        signature: &assertion.signature,
                        signed: assertion.signed,
                    };
                    let reply = io.request(check.request()).await;
                    let is_true = reply.is_ok_and(|answer| answer == [1]);
                    return Ok(if is_true { Verdict::Admitted } else { Verdict::Refused });
                }
                Lookup::Fetch => {
                    let reply = io.request(Request::new(Address::AccessKeys, Vec::new())).await;
                    let body = reply.map_err(|failure| failure.to_string());
                    io.with(|context| {
                        context.cache.access_keys.on_reply(body, context.platform.now_ns());
                    })?;
                }
                Lookup::Wait => io.pause(TURN_MS).await,
                Lookup::Unknown => return Ok(Verdict::Refused),
                Lookup::Unavailable(reason) => return Ok(Verdict::Unverified(reason)),
            }
        }
    })
}
