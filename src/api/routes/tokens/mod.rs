//! Serves `/api/v3/configure/token`: administrators make, list and revoke database tokens there; at
//! [`secrets`] they give one another secret.
//!
//! A token is shown once, in the answer that made it; what is kept is its SHA-256.

mod describe;
pub mod secrets;

use serde::Deserialize;
use serde_json::{Value, json};

use describe::{described, expiry, time};

use crate::api::action::Action;
use crate::api::error::ApiError;
use crate::api::http::Response;
use crate::api::isolate_state::Isolate;
use crate::api::routes::handler::{Handler, Incoming, Received};
use crate::coordinator::Context;
use crate::coordinator::error::Error;
use crate::coordinator::grants::{TOKEN_PREFIX, hex, token_hash};
use crate::model::grant::{Grants, Permission};
use crate::model::limits::{GRANTEES_PER_PAGE, TOKEN_NAME_BYTES_MAX};
use crate::model::name;
use crate::model::time::S_NS;
use crate::protocol::call::{Address, CallFailure, Platform, Reply};
use crate::protocol::catalog::{FromCatalog, ToCatalog};
use crate::protocol::envelope;
use crate::protocol::grants::Grantee;
use crate::protocol::host::Unavailable;
use crate::protocol::round::{Request, Round};

/// Of a page that another one follows: what `after` is to be for that one.
const NEXT_HEADER: &str = "X-Tidemark-Next";

/// The body of a creation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    token_name: String,
    permissions: Vec<PermissionBody>,
    expiry_secs: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PermissionBody {
    resource_type: String,
    #[serde(alias = "resource_names")]
    resource_identifier: Vec<String>,
    actions: Vec<String>,
}

/// A request about tokens, in progress.
struct TokensHandler {
    /// What is done; a creation is not known before its body is read.
    job: Option<Job>,
    round: Round,
}

impl std::fmt::Debug for TokensHandler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokensHandler(..)")
    }
}

enum Job {
    Create {
        token: String,
        grantee: Box<Grantee>,
    },
    Delete {
        name: String,
    },
    /// A page of tokens: those after this number, at most so many.
    List {
        after: u64,
        limit: u64,
    },
}

/// `GET`, `POST` and `DELETE /api/v3/configure/token`
///
/// # Errors
/// [`ApiError::Invalid`] for a DELETE that names no token.
pub fn begin(request: &Incoming<'_>) -> Result<Box<dyn Handler>, ApiError> {
    let job = match request.head.method.as_str() {
        "POST" => None,
        "DELETE" => match request.url.filled("token_name") {
            Some(name) => Some(Job::Delete { name: name.to_owned() }),
            None => return invalid("name the token with the parameter token_name"),
        },
        _ => {
            let number = |name: &str, otherwise| match request.url.filled(name) {
                None => Ok(otherwise),
                Some(text) => text.parse::<u64>().or_else(|_| {
                    invalid(&format!("{name} must be a whole number, not \"{text}\""))
                }),
            };
            let limit = number("limit", GRANTEES_PER_PAGE as u64)?;
            let limit = limit.clamp(1, GRANTEES_PER_PAGE as u64);
            Some(Job::List { after: number("after", 0)?, limit })
        }
    };
    Ok(Box::new(TokensHandler { job, round: Round::default() }))
}

impl Handler for TokensHandler {
    fn start(
        &mut self,
        _request: &Incoming<'_>,
        isolate: &mut Isolate<'_>,
        body: Received,
    ) -> Result<(), ApiError> {
        if self.job.is_none() {
            self.job = Some(Job::create(body.json()?, isolate.platform)?);
        }
        Ok(())
    }

    fn step(
        &mut self,
        isolate: &mut Isolate<'_>,
        reply: Option<Reply>,
    ) -> Result<Action, ApiError> {
        let context = &mut isolate.context();
        let Some(job) = &mut self.job else { return Ok(Action::End) };
        let Some(reply) = reply else {
            return Ok(Action::Calls(self.round.start(vec![job.request()])));
        };
        match self.round.take(reply).and_then(|mut replies| replies.pop()) {
            Some(reply) => job.answer(context, reply),
            None => Ok(Action::Calls(Vec::new())),
        }
    }
}

impl Job {
    /// Prepares a creation.
    ///
    /// # Errors
    /// [`ApiError::Invalid`] naming what cannot be read.
    fn create(body: Body, platform: &dyn Platform) -> Result<Self, ApiError> {
        let named = !body.token_name.is_empty() && body.token_name.len() <= TOKEN_NAME_BYTES_MAX;
        if !named || body.token_name.chars().any(char::is_control) {
            return invalid("token_name must be printable text of 1 to 256 bytes");
        }
        let mut permissions = Vec::new();
        for permission in &body.permissions {
            read_permission(permission, &mut permissions)?;
        }
        if permissions.is_empty() {
            return invalid("permissions must name at least one database");
        }
        let now_ns = platform.now_ns();
        let expires_ns = match body.expiry_secs {
            None => i64::MAX,
            Some(seconds) if seconds > 0 => now_ns.saturating_add(seconds.saturating_mul(S_NS)),
            Some(_) => return invalid("expiry_secs must be above 0; leave it out for never"),
        };
        let token = new_secret(platform)?;
        let grants = Grants { admin: false, permissions };
        let (hash, times_ns) = (token_hash(&token), [now_ns, expires_ns]);
        let grantee = Grantee::token(&body.token_name, hash, grants, times_ns);
        Ok(Self::Create { token, grantee: Box::new(grantee) })
    }

    /// What the Catalog is asked.
    fn request(&self) -> Request {
        let message = match self {
            Self::Create { grantee, .. } => ToCatalog::PutGrantee(grantee.clone()),
            Self::Delete { name } => ToCatalog::RemoveGrantee { user: false, name: name.clone() },
            Self::List { after, limit } => {
                ToCatalog::Grantees { user: false, after: *after, limit: *limit }
            }
        };
        Request::new(Address::Catalog, envelope::encode(&message))
    }

    /// What the Catalog's reply comes to.
    fn answer(
        &mut self,
        context: &mut Context<'_>,
        reply: Result<Vec<u8>, CallFailure>,
    ) -> Result<Action, ApiError> {
        // Whatever became of it, who was unknown may be known now.
        context.cache.callers.forget_refused();
        let reply = envelope::decode_reply::<FromCatalog>(reply).map_err(Error::from)?;
        match (&*self, reply) {
            (Self::List { .. }, FromCatalog::Grantees { rows, more, used }) => {
                let next = rows.last().filter(|_| more).map(|row| row.id.to_string());
                let used = used.iter().map(Vec::as_slice).chain(std::iter::repeat(&[][..]));
                let tokens = rows.iter().zip(used).map(|(row, used)| described(row, used));
                let body = Value::Array(tokens.collect());
                let response = Response::json(200, format!("{body}\n"));
                Ok(Action::Respond(match next {
                    Some(next) => response.with_header(NEXT_HEADER, &next),
                    None => response,
                }))
            }
            (Self::Create { token, grantee }, FromCatalog::Granted { id, .. }) => {
                let body = json!({
                    "id": id,
                    "name": grantee.name,
                    "token": token,
                    "hash": grantee.hash,
                    "created_at": time(grantee.created_ns),
                    "expiry": expiry(grantee.expires_ns),
                });
                Ok(respond(201, &body))
            }
            (Self::Create { grantee, .. }, FromCatalog::Unavailable(Unavailable::Changing)) => {
                Err(ApiError::Conflict(format!("token \"{}\" already exists", grantee.name)))
            }
            (Self::Delete { .. }, FromCatalog::Dropped { existed: true, remaining: 0 }) => {
                Ok(Action::Respond(Response::empty(200)))
            }
            (Self::Delete { .. }, FromCatalog::Dropped { existed: true, remaining }) => {
                Ok(respond(202, &json!({ "remaining": remaining })))
            }
            (Self::Delete { name }, FromCatalog::Dropped { existed: false, .. }) => {
                Err(not_found(name))
            }
            (_, FromCatalog::Refused(refusal)) => Err(Error::Catalog(refusal).into()),
            (_, FromCatalog::Unavailable(why)) => Err(Error::from(why).into()),
            _ => Err(Error::unexpected_reply().into()),
        }
    }
}

/// A token that nobody guesses: four words of randomness are 256 bits.
fn new_secret(platform: &dyn Platform) -> Result<String, ApiError> {
    let words = [(); 4].map(|()| platform.random_u64().to_be_bytes());
    let random = words.as_flattened();
    if random.iter().all(|&byte| byte == 0) {
        return Err(ApiError::Internal("the runtime has no randomness".to_owned()));
    }
    Ok(format!("{TOKEN_PREFIX}{}", hex(random)))
}

fn invalid<T>(message: &str) -> Result<T, ApiError> {
    Err(ApiError::Invalid(message.to_owned()))
}

/// One permission of the request: one of ours for each resource.
fn read_permission(body: &PermissionBody, out: &mut Vec<Permission>) -> Result<(), ApiError> {
    if body.resource_type != "db" {
        return invalid("resource_type must be \"db\"; the admin token is the secret ADMIN_TOKEN");
    }
    let has = |action: &str| body.actions.iter().any(|given| given == action);
    let (read, write, metrics) = (has("read"), has("write"), has("metrics"));
    let known = ["read", "write", "metrics"];
    let are_known = body.actions.iter().all(|action| known.contains(&action.as_str()));
    if !are_known || body.actions.is_empty() {
        return invalid("actions must be some of \"read\", \"write\" and \"metrics\"");
    }
    for resource in &body.resource_identifier {
        let (database, policy) = match name::split_bucket(resource) {
            ("*", None) => (None, None),
            (database, policy) => (Some(database.to_owned()), policy.map(str::to_owned)),
        };
        let valid = |name: &Option<String>| name.iter().all(|name| name::check(name).is_ok());
        if !valid(&database) || !valid(&policy) || (resource.starts_with("*/")) {
            let expected = "expected a database, database/policy or *";
            return invalid(&format!("invalid resource \"{resource}\": {expected}"));
        }
        if metrics && policy.is_some() {
            return invalid("metrics are of a whole database: name it without a policy");
        }
        out.push(Permission { database, policy, read, write, metrics });
    }
    Ok(())
}

fn not_found(name: &str) -> ApiError {
    ApiError::NotFound(format!("token not found: \"{name}\""))
}

fn respond(status: u16, body: &Value) -> Action {
    Action::Respond(Response::json(status, format!("{body}\n")))
}
