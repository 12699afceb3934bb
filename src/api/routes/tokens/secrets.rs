//! Serves `/api/v3/configure/token/secret`: an administrator gives a token another secret, beside
//! which the one before goes on for a while, or ends one of the two.

use serde::Deserialize;
use serde_json::json;

use super::describe::time;
use super::{invalid, new_secret, not_found, respond};
use crate::api::action::Action;
use crate::api::error::ApiError;
use crate::api::http::Response;
use crate::api::isolate_state::Isolate;
use crate::api::routes::handler::{Handler, Incoming, Received};
use crate::coordinator::error::Error;
use crate::coordinator::grants::token_hash;
use crate::model::limits::{SECRET_KEPT_S, SECRET_KEPT_S_MAX};
use crate::model::time::S_NS;
use crate::protocol::call::{Address, CallFailure, Platform, Reply};
use crate::protocol::catalog::{FromCatalog, Rotation, ToCatalog};
use crate::protocol::envelope;
use crate::protocol::round::{Request, Round};

/// The body of a rotation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    token_name: String,
    keep_secs: Option<i64>,
}

/// A request about a token's secrets, in progress.
struct SecretsHandler {
    /// What is done; a rotation is not known before its body is read.
    job: Option<Job>,
    round: Round,
}

impl std::fmt::Debug for SecretsHandler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretsHandler(..)")
    }
}

enum Job {
    Rotate { token: String, rotation: Rotation },
    End { name: String, hash: String },
}

/// `POST` and `DELETE /api/v3/configure/token/secret`
///
/// # Errors
/// [`ApiError::Invalid`] for a DELETE that does not name a token and one of its secrets.
pub fn begin(request: &Incoming<'_>) -> Result<Box<dyn Handler>, ApiError> {
    let job = match request.head.method.as_str() {
        "POST" => None,
        _ => match (request.url.filled("token_name"), request.url.filled("hash")) {
            (Some(name), Some(hash)) => {
                Some(Job::End { name: name.to_owned(), hash: hash.to_ascii_lowercase() })
            }
            _ => {
                return invalid(
                    "name the token with the parameter token_name, and which of its secrets with \
                     hash, as the list of tokens has it",
                );
            }
        },
    };
    Ok(Box::new(SecretsHandler { job, round: Round::default() }))
}

impl Handler for SecretsHandler {
    fn start(
        &mut self,
        _request: &Incoming<'_>,
        isolate: &mut Isolate<'_>,
        body: Received,
    ) -> Result<(), ApiError> {
        if self.job.is_none() {
            self.job = Some(Job::rotate(body.json()?, isolate.platform)?);
        }
        Ok(())
    }

    fn step(
        &mut self,
        isolate: &mut Isolate<'_>,
        reply: Option<Reply>,
    ) -> Result<Action, ApiError> {
        let Some(job) = &self.job else { return Ok(Action::End) };
        let Some(reply) = reply else {
            let request = Request::new(Address::Catalog, envelope::encode(&job.message()));
            return Ok(Action::Calls(self.round.start(vec![request])));
        };
        let Some(reply) = self.round.take(reply).and_then(|mut replies| replies.pop()) else {
            return Ok(Action::Calls(Vec::new()));
        };
        // Whatever became of it, who was unknown may be known now.
        isolate.context().cache.callers.forget_refused();
        job.answer(reply)
    }
}

impl Job {
    /// Prepares a rotation.
    ///
    /// # Errors
    /// [`ApiError::Invalid`] for a time that is out of bounds.
    fn rotate(body: Body, platform: &dyn Platform) -> Result<Self, ApiError> {
        let keep_s = body.keep_secs.unwrap_or(SECRET_KEPT_S);
        if !(0..=SECRET_KEPT_S_MAX).contains(&keep_s) {
            return invalid(&format!(
                "keep_secs must be from 0 (the old secret ends at once) to {SECRET_KEPT_S_MAX}"
            ));
        }
        let now_ns = platform.now_ns();
        let until_ns = now_ns.saturating_add(keep_s.saturating_mul(S_NS));
        let token = new_secret(platform)?;
        let (name, hash) = (body.token_name, token_hash(&token));
        Ok(Self::Rotate { token, rotation: Rotation { name, hash, now_ns, until_ns } })
    }

    fn message(&self) -> ToCatalog {
        match self {
            Self::Rotate { rotation, .. } => ToCatalog::RotateToken(rotation.clone()),
            Self::End { name, hash } => {
                ToCatalog::EndSecret { name: name.clone(), hash: hash.clone() }
            }
        }
    }

    /// What the Catalog's reply comes to.
    fn answer(&self, reply: Result<Vec<u8>, CallFailure>) -> Result<Action, ApiError> {
        let reply = envelope::decode_reply::<FromCatalog>(reply).map_err(Error::from)?;
        match (self, reply) {
            (Self::Rotate { token, rotation }, FromCatalog::Granted { id, remaining }) => {
                let status = if remaining == 0 { 200 } else { 202 };
                Ok(respond(
                    status,
                    &json!({
                        "id": id,
                        "name": rotation.name,
                        "token": token,
                        "hash": rotation.hash,
                        "created_at": time(rotation.now_ns),
                        "earlier_expiry": time(rotation.until_ns),
                        "remaining": remaining,
                    }),
                ))
            }
            (Self::Rotate { rotation, .. }, FromCatalog::Dropped { .. }) => {
                Err(not_found(&rotation.name))
            }
            (Self::End { .. }, FromCatalog::Dropped { existed: true, remaining: 0 }) => {
                Ok(Action::Respond(Response::empty(200)))
            }
            (Self::End { .. }, FromCatalog::Dropped { existed: true, remaining }) => {
                Ok(respond(202, &json!({ "remaining": remaining })))
            }
            (Self::End { name, hash }, FromCatalog::Dropped { existed: false, .. }) => Err(
                ApiError::NotFound(format!("no token \"{name}\" has the secret of hash {hash}")),
            ),
            (_, FromCatalog::Refused(refusal)) => Err(Error::Catalog(refusal).into()),
            (_, FromCatalog::Unavailable(why)) => Err(Error::from(why).into()),
            _ => Err(Error::unexpected_reply().into()),
        }
    }
}
