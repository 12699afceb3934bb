//! Serves `/api/v3/configure/quota`: POST sets what a database, or a token or user on it, may use;
//! GET says what is set. InfluxDB has no such route.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::api::action::Action;
use crate::api::error::ApiError;
use crate::api::http::Response;
use crate::api::isolate_state::Isolate;
use crate::api::routes::handler::{Handler, Incoming, Received};
use crate::coordinator::Machine;
use crate::coordinator::create_drop::{Change, CreateDrop};
use crate::coordinator::error::Error;
use crate::coordinator::load_schemas::{Load, Want};
use crate::model::quota::{CallerQuota, QUOTA_VALUE_MAX, Quotas, Rate, Rates};
use crate::protocol::call::{Address, CallFailure, Reply, Step};
use crate::protocol::catalog::{FromCatalog, ToCatalog};
use crate::protocol::database::QuotaChange;
use crate::protocol::envelope;
use crate::protocol::round::{Request, Round};

/// The body: the limits that hold from now on. What it leaves out has none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    db: String,
    token_name: Option<String>,
    user: Option<String>,
    points_per_minute: Option<u64>,
    requests_per_minute: Option<u64>,
    cells_per_minute: Option<u64>,
    stored_bytes: Option<u64>,
}

/// A request about quotas, in progress.
#[derive(Debug)]
struct QuotaHandler {
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The body of a change is not read yet.
    Unread,
    /// The Catalog is asked for the token or user that a change names.
    Find {
        wanted: Wanted,
        round: Round,
    },
    Change {
        database: String,
        machine: CreateDrop,
    },
    Show {
        database: String,
        load: Load,
    },
}

/// Limits of a token or user whose number is not known yet.
#[derive(Clone, Debug)]
struct Wanted {
    database: String,
    user: bool,
    name: String,
    rates: Rates,
}

/// `GET` and `POST /api/v3/configure/quota`
///
/// # Errors
/// [`ApiError::Invalid`] for a GET that names no database.
pub fn begin(request: &Incoming<'_>) -> Result<Box<dyn Handler>, ApiError> {
    let stage = match (request.head.method.as_str(), request.url.filled("db")) {
        ("GET", Some(database)) => Stage::show(database.to_owned()),
        ("GET", None) => return invalid("name the database with the parameter db"),
        _ => Stage::Unread,
    };
    Ok(Box::new(QuotaHandler { stage }))
}

fn invalid<T>(message: &str) -> Result<T, ApiError> {
    Err(ApiError::Invalid(message.to_owned()))
}

impl Body {
    fn rates(&self) -> Rates {
        Rates {
            points: self.points_per_minute,
            requests: self.requests_per_minute,
            cells: self.cells_per_minute,
        }
    }

    fn check(&self) -> Result<(), ApiError> {
        let rates = self.rates();
        let limits = Rate::ALL.map(|rate| (rate.name(), rates.of(rate)));
        let stored = ("stored_bytes", self.stored_bytes);
        for (name, limit) in limits.into_iter().chain([stored]) {
            if limit.is_some_and(|limit| !(1..=QUOTA_VALUE_MAX).contains(&limit)) {
                return invalid(&format!(
                    "{name} must be between 1 and {QUOTA_VALUE_MAX}; leave it out for no limit"
                ));
            }
        }
        if self.token_name.is_some() && self.user.is_some() {
            return invalid("name a token or a user, not both");
        }
        if self.stored_bytes.is_some() && (self.token_name.is_some() || self.user.is_some()) {
            return invalid("stored_bytes is of a database: what is stored has no owner");
        }
        Ok(())
    }

    /// What is done first.
    fn stage(self) -> Stage {
        let (rates, stored_bytes) = (self.rates(), self.stored_bytes);
        let name = |name: String, user| Wanted { database: self.db.clone(), user, name, rates };
        match (self.token_name, self.user) {
            (Some(token), _) => Stage::find(name(token, false)),
            (None, Some(user)) => Stage::find(name(user, true)),
            (None, None) => {
                let change = QuotaChange::Database { rates, stored_bytes };
                Stage::change(self.db, change)
            }
        }
    }
}

impl Stage {
    fn find(wanted: Wanted) -> Self {
        Self::Find { wanted, round: Round::default() }
    }

    fn change(database: String, change: QuotaChange) -> Self {
        let machine = CreateDrop::new(Change::SetQuota { database: database.clone(), change });
        Self::Change { database, machine }
    }

    fn show(database: String) -> Self {
        let load = Load::from_owner(&database, Want::Nothing);
        Self::Show { database, load }
    }
}

impl Handler for QuotaHandler {
    fn start(
        &mut self,
        _request: &Incoming<'_>,
        _isolate: &mut Isolate<'_>,
        body: Received,
    ) -> Result<(), ApiError> {
        if matches!(self.stage, Stage::Unread) {
            let body: Body = body.json()?;
            body.check()?;
            self.stage = body.stage();
        }
        Ok(())
    }

    fn step(
        &mut self,
        isolate: &mut Isolate<'_>,
        mut reply: Option<Reply>,
    ) -> Result<Action, ApiError> {
        loop {
            let next = match &mut self.stage {
                Stage::Unread => return Ok(Action::End),
                Stage::Find { wanted, round } => {
                    let Some(reply) = reply.take() else {
                        return Ok(Action::Calls(round.start(vec![wanted.request()])));
                    };
                    match round.take(reply).and_then(|mut replies| replies.pop()) {
                        Some(reply) => wanted.found(reply)?,
                        None => return Ok(Action::Calls(Vec::new())),
                    }
                }
                Stage::Change { database, machine } => {
                    match machine.step(&mut isolate.context(), reply.take()) {
                        Step::Calls(calls) => return Ok(Action::Calls(calls)),
                        Step::Done(changed) => changed.map(|_| Stage::show(database.clone()))?,
                    }
                }
                Stage::Show { database, load } => {
                    return match load.step(&mut isolate.context(), reply.take()) {
                        Step::Calls(calls) => Ok(Action::Calls(calls)),
                        Step::Done(loaded) => {
                            let body = described(database, &loaded?.description.quotas);
                            let response = Response::json(200, format!("{body}\n"));
                            Ok(Action::Respond(response))
                        }
                    };
                }
            };
            self.stage = next;
        }
    }
}

impl Wanted {
    fn request(&self) -> Request {
        let message = ToCatalog::Grantee { user: self.user, name: self.name.clone() };
        Request::new(Address::Catalog, envelope::encode(&message))
    }

    /// The change of its quota, by what the Catalog says of it.
    fn found(&self, reply: Result<Vec<u8>, CallFailure>) -> Result<Stage, ApiError> {
        let Self { database, user, name, rates } = self.clone();
        match envelope::decode_reply::<FromCatalog>(reply).map_err(Error::from)? {
            FromCatalog::Grantees { rows, .. } => match rows.first() {
                Some(row) => {
                    let quota = CallerQuota { id: row.id, user, name, rates };
                    Ok(Stage::change(database, QuotaChange::Caller(quota)))
                }
                None if user => Err(ApiError::NotFound(format!("user not found: \"{name}\""))),
                None => Err(ApiError::NotFound(format!("token not found: \"{name}\""))),
            },
            FromCatalog::Unavailable(why) => Err(Error::from(why).into()),
            _ => Err(Error::unexpected_reply().into()),
        }
    }
}

/// All limits of a database.
fn described(database: &str, quotas: &Quotas) -> Value {
    let mut of_database = limits(&quotas.rates);
    of_database.extend(quotas.stored_bytes.map(|bytes| ("stored_bytes".to_owned(), bytes.into())));
    let callers = |user| {
        let callers = quotas.callers.iter().filter(move |quota| quota.user == user);
        let described = callers.map(|quota| {
            let name = Value::from(quota.name.as_str());
            let head = [("id".to_owned(), quota.id.into()), ("name".to_owned(), name)];
            Value::Object(head.into_iter().chain(limits(&quota.rates)).collect())
        });
        described.collect::<Vec<_>>()
    };
    json!({
        "db": database,
        "quota": of_database,
        "tokens": callers(false),
        "users": callers(true),
    })
}

fn limits(rates: &Rates) -> Map<String, Value> {
    let set = |rate: Rate| Some((rate.name().to_owned(), rates.of(rate)?.into()));
    Rate::ALL.into_iter().filter_map(set).collect()
}
