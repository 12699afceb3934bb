//! Serves `/api/v3/configure/quota`: POST sets what a database, or a token or user on it, may use,
//! and how many databases the writes of a token or user may create; GET says what is set. InfluxDB
//! has no such route.

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
use crate::protocol::catalog::{CreatorQuota, FromCatalog, ToCatalog};
use crate::protocol::database::QuotaChange;
use crate::protocol::envelope;
use crate::protocol::round::{Request, Round};

/// The body: the limits that hold from now on. What it leaves out has none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    db: Option<String>,
    token_name: Option<String>,
    user: Option<String>,
    points_per_minute: Option<u64>,
    requests_per_minute: Option<u64>,
    cells_per_minute: Option<u64>,
    stored_bytes: Option<u64>,
    series: Option<u64>,
    databases: Option<u64>,
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
    /// The Catalog is told of, or asked for, the limits of creators.
    Creators {
        message: ToCatalog,
        round: Round,
    },
}

/// Limits of a token or user whose number is not known yet.
#[derive(Clone, Debug)]
struct Wanted {
    /// On which database; `None` is how many it may create.
    database: Option<String>,
    user: bool,
    name: String,
    rates: Rates,
    databases: Option<u64>,
}

/// `GET` and `POST /api/v3/configure/quota`
///
/// # Errors
/// None.
pub fn begin(request: &Incoming<'_>) -> Result<Box<dyn Handler>, ApiError> {
    let stage = match (request.head.method.as_str(), request.url.filled("db")) {
        ("GET", Some(database)) => Stage::show(database.to_owned()),
        ("GET", None) => Stage::creators(ToCatalog::CreatorQuotas),
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
        let stored = [("stored_bytes", self.stored_bytes), ("series", self.series)];
        let others = stored.into_iter().chain([("databases", self.databases)]);
        for (name, limit) in limits.into_iter().chain(others) {
            if limit.is_some_and(|limit| !(1..=QUOTA_VALUE_MAX).contains(&limit)) {
                return invalid(&format!(
                    "{name} must be between 1 and {QUOTA_VALUE_MAX}; leave it out for no limit"
                ));
            }
        }
        if self.token_name.is_some() && self.user.is_some() {
            return invalid("name a token or a user, not both");
        }
        let of_caller = self.token_name.is_some() || self.user.is_some();
        let of_stored = stored.iter().find(|(_, limit)| limit.is_some());
        if let Some((name, _)) = of_stored.filter(|_| of_caller) {
            return invalid(&format!("{name} is of a database: what is stored has no owner"));
        }
        let of_database = of_stored.is_some() || self.rates() != Rates::default();
        match &self.db {
            Some(_) if self.databases.is_some() => {
                invalid("databases is how many a token or user may create: leave db out")
            }
            None if of_database => invalid("name the database as db"),
            None if !of_caller => invalid("name a database as db, or a token or user"),
            _ => Ok(()),
        }
    }

    /// What is done first.
    fn stage(self) -> Stage {
        let (rates, stored_bytes, series) = (self.rates(), self.stored_bytes, self.series);
        let (database, databases) = (self.db, self.databases);
        match (self.token_name, self.user) {
            (Some(name), _) => {
                Stage::find(Wanted { database, user: false, name, rates, databases })
            }
            (None, Some(name)) => {
                Stage::find(Wanted { database, user: true, name, rates, databases })
            }
            (None, None) => {
                let change = QuotaChange::Database { rates, stored_bytes, series };
                Stage::change(database.unwrap_or_default(), change)
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

    fn creators(message: ToCatalog) -> Self {
        Self::Creators { message, round: Round::default() }
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
                Stage::Creators { message, round } => {
                    let Some(reply) = reply.take() else {
                        let request = Request::new(Address::Catalog, envelope::encode(message));
                        return Ok(Action::Calls(round.start(vec![request])));
                    };
                    return match round.take(reply).and_then(|mut replies| replies.pop()) {
                        Some(reply) => creators(reply),
                        None => Ok(Action::Calls(Vec::new())),
                    };
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
        let Self { database, user, name, rates, databases } = self.clone();
        match envelope::decode_reply::<FromCatalog>(reply).map_err(Error::from)? {
            FromCatalog::Grantees { rows, .. } => match rows.first() {
                Some(row) => Ok(match database {
                    Some(database) => {
                        let quota = CallerQuota { id: row.id, user, name, rates };
                        Stage::change(database, QuotaChange::Caller(quota))
                    }
                    None => {
                        let quota = CreatorQuota { id: row.id, user, name, databases };
                        Stage::creators(ToCatalog::SetCreatorQuota(quota))
                    }
                }),
                None if user => Err(ApiError::NotFound(format!("user not found: \"{name}\""))),
                None => Err(ApiError::NotFound(format!("token not found: \"{name}\""))),
            },
            FromCatalog::Unavailable(why) => Err(Error::from(why).into()),
            _ => Err(Error::unexpected_reply().into()),
        }
    }
}

/// What the Catalog says of the limits of creators.
fn creators(reply: Result<Vec<u8>, CallFailure>) -> Result<Action, ApiError> {
    let quotas = match envelope::decode_reply::<FromCatalog>(reply).map_err(Error::from)? {
        FromCatalog::CreatorQuotas(quotas) => quotas,
        FromCatalog::Refused(refusal) => return Err(Error::Catalog(refusal).into()),
        FromCatalog::Unavailable(why) => return Err(Error::from(why).into()),
        _ => return Err(Error::unexpected_reply().into()),
    };
    let of = |user| {
        let of = quotas.iter().filter(move |(quota, _)| quota.user == user);
        let described = of.map(|(quota, created)| {
            let CreatorQuota { id, name, databases, .. } = quota;
            json!({ "id": id, "name": name, "databases": databases, "created": created })
        });
        described.collect::<Vec<_>>()
    };
    let body = json!({ "tokens": of(false), "users": of(true) });
    Ok(Action::Respond(Response::json(200, format!("{body}\n"))))
}

/// All limits of a database.
fn described(database: &str, quotas: &Quotas) -> Value {
    let mut of_database = limits(&quotas.rates);
    let stored = [("stored_bytes", quotas.stored_bytes), ("series", quotas.series)];
    let set = stored.into_iter().filter_map(|(name, limit)| Some((name.to_owned(), limit?.into())));
    of_database.extend(set);
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
