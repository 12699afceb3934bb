//! `/api/v2/buckets`, `dbrps` and `orgs`: databases and policies by the names that the v2 clients
//! have for them.
//!
//! A bucket is a policy and so is a mapping; there is one organisation. Every request surveys
//! the databases first, is then answered or becomes changes, and shows what these made.

mod buckets;
mod dbrps;
mod orgs;

use std::vec;

use serde_json::Value;

use crate::api::action::Action;
use crate::api::error::ApiError;
use crate::api::http::{Parameters, Response};
use crate::api::routes::handler::{Handler, Incoming, Received};
use crate::api::service::Isolate;
use crate::model::grant::Right;
use crate::model::ids::PolicyId;
use crate::model::shard_map::Policy;
use crate::protocol::call::{Reply, Step};
use crate::route::Machine;
use crate::route::cache::find_policy;
use crate::route::create_drop::{Change, CreateDrop};
use crate::route::grants::Principal;
use crate::route::survey::{Of, Survey, Surveyed};

/// What is managed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resource {
    /// `/api/v2/buckets`
    Buckets,
    /// `/api/v2/dbrps`
    Dbrps,
    /// `/api/v2/orgs`
    Orgs,
}

/// What is asked.
#[derive(Debug)]
struct ManageRequest {
    resource: Resource,
    method: String,
    id: Option<String>,
    url: Parameters,
    body: Value,
    default_shards: u32,
}

/// What the survey comes to.
enum Plan {
    Answer(Response),
    Change(Vec<Change>, After),
}

/// What is answered once everything has changed.
#[derive(Debug)]
enum After {
    Empty,
    /// Its resource as it is then.
    Show {
        status: u16,
        database: String,
        policy: String,
    },
}

/// A management request in progress.
#[derive(Debug)]
struct ManageHandler {
    request: ManageRequest,
    principal: Principal,
    stage: ManageStage,
}

#[derive(Debug)]
enum ManageStage {
    /// The body is not read yet.
    Unread,
    Survey(Survey),
    Change {
        current: Box<CreateDrop>,
        rest: vec::IntoIter<Change>,
        after: After,
    },
    Show {
        survey: Survey,
        status: u16,
        policy: String,
    },
}

/// `/api/v2/buckets` and one of them
///
/// # Errors
/// None.
pub fn begin_buckets(request: &Incoming<'_>) -> Result<Box<dyn Handler>, ApiError> {
    Ok(begin(request, Resource::Buckets))
}

/// `/api/v2/dbrps` and one of them
///
/// # Errors
/// None.
pub fn begin_dbrps(request: &Incoming<'_>) -> Result<Box<dyn Handler>, ApiError> {
    Ok(begin(request, Resource::Dbrps))
}

/// `/api/v2/orgs` and one of them
///
/// # Errors
/// None.
pub fn begin_orgs(request: &Incoming<'_>) -> Result<Box<dyn Handler>, ApiError> {
    Ok(begin(request, Resource::Orgs))
}

fn begin(request: &Incoming<'_>, resource: Resource) -> Box<dyn Handler> {
    Box::new(ManageHandler {
        request: ManageRequest {
            resource,
            method: request.head.method.clone(),
            id: request.id.map(str::to_owned),
            url: request.url.clone(),
            body: Value::Null,
            default_shards: 0,
        },
        principal: request.caller.clone(),
        stage: ManageStage::Unread,
    })
}

impl Handler for ManageHandler {
    fn start(
        &mut self,
        request: &Incoming<'_>,
        isolate: &mut Isolate<'_>,
        body: Received,
    ) -> Result<(), ApiError> {
        self.request.default_shards = isolate.settings()?.default_shards;
        if !body.bytes().is_empty() {
            self.request.body = body.json()?;
        }
        self.principal = request.caller.clone();
        self.stage = ManageStage::Survey(Survey::new(&self.principal, self.request.surveyed()));
        Ok(())
    }

    fn step(
        &mut self,
        isolate: &mut Isolate<'_>,
        mut reply: Option<Reply>,
    ) -> Result<Action, ApiError> {
        let context = &mut isolate.context();
        loop {
            let next = match &mut self.stage {
                ManageStage::Unread => return Ok(Action::End),
                ManageStage::Survey(survey) => match survey.step(context, reply.take()) {
                    Step::Calls(calls) => return Ok(Action::Calls(calls)),
                    Step::Done(found) => match self.plan(&found?)? {
                        Plan::Answer(response) => return Ok(Action::Respond(response)),
                        Plan::Change(changes, after) => self.change(changes.into_iter(), after),
                    },
                },
                ManageStage::Change { current, rest, after } => {
                    match current.step(context, reply.take()) {
                        Step::Calls(calls) => return Ok(Action::Calls(calls)),
                        Step::Done(Err(error)) => return Err(error.into()),
                        Step::Done(Ok(_)) => {}
                    }
                    let rest = std::mem::take(rest);
                    let after = std::mem::replace(after, After::Empty);
                    self.change(rest, after)
                }
                ManageStage::Show { survey, status, policy } => {
                    match survey.step(context, reply.take()) {
                        Step::Calls(calls) => return Ok(Action::Calls(calls)),
                        Step::Done(found) => {
                            let (status, policy) = (*status, std::mem::take(policy));
                            return self.show(&found?, status, &policy).map(Action::Respond);
                        }
                    }
                }
            };
            match next {
                Some(stage) => self.stage = stage,
                None => return Ok(Action::Respond(Response::empty(204))),
            }
        }
    }
}

impl ManageHandler {
    /// The next change, or what shows what they made; `None` when nothing is shown.
    fn change(&self, mut rest: vec::IntoIter<Change>, after: After) -> Option<ManageStage> {
        if let Some(change) = rest.next() {
            return Some(ManageStage::Change {
                current: Box::new(CreateDrop::new(change)),
                rest,
                after,
            });
        }
        match after {
            After::Empty => None,
            After::Show { status, database, policy } => {
                let survey = Survey::new(&self.principal, Of::Named(database));
                Some(ManageStage::Show { survey, status, policy })
            }
        }
    }

    /// The policy as it is after the changes.
    fn show(&self, found: &[Surveyed], status: u16, policy: &str) -> Result<Response, ApiError> {
        let entries = entries(found);
        let shown = entries.iter().find(|entry| entry.policy.name == policy);
        let shown = shown.ok_or_else(|| not_found(policy))?;
        let value = match self.request.resource {
            Resource::Dbrps if status == 200 => {
                serde_json::json!({ "content": dbrps::value(shown) })
            }
            Resource::Dbrps => dbrps::value(shown),
            Resource::Buckets | Resource::Orgs => buckets::value(shown),
        };
        Ok(json(status, &value))
    }

    fn plan(&self, found: &[Surveyed]) -> Result<Plan, ApiError> {
        let mut entries = entries(found);
        // Whatever may be done with a policy shows it; to change it the admin token was needed.
        let visible = |entry: &Entry<'_>| {
            let covers = |right| self.principal.grants.scope(right, entry.database);
            [Right::Read, Right::Write].map(covers).iter().any(|s| s.covers(&entry.policy.name))
        };
        entries.retain(visible);
        match self.request.resource {
            Resource::Dbrps => dbrps::plan(&self.request, &entries),
            Resource::Orgs => orgs::plan(&self.request).map(Plan::Answer),
            Resource::Buckets => buckets::plan(&self.request, found, &entries),
        }
    }
}

/// A policy under a v2 client's names.
struct Entry<'a> {
    database: &'a str,
    policy: &'a Policy,
    /// It is its database's default policy.
    default: bool,
    /// No other policy is in its database.
    alone: bool,
}

impl Entry<'_> {
    /// `db` for the default policy, else `db/rp`.
    fn bucket(&self) -> String {
        match self.default {
            true => self.database.to_owned(),
            false => format!("{}/{}", self.database, self.policy.name),
        }
    }
}

/// Every policy, by database and in order of creation.
fn entries(found: &[Surveyed]) -> Vec<Entry<'_>> {
    let mut entries = Vec::new();
    for (database, description) in found {
        for policy in &description.policies {
            entries.push(Entry {
                database,
                policy,
                default: description.default_policy == Some(policy.id),
                alone: description.policies.len() == 1,
            });
        }
    }
    entries
}

impl ManageRequest {
    /// The databases that have to be looked at.
    fn surveyed(&self) -> Of {
        let listed = ["id", "bucketID"].iter().find_map(|name| self.url.filled(name));
        let policy = self.id.as_deref().or(listed).and_then(policy_id);
        if let Some(policy) = policy.filter(|_| self.resource != Resource::Orgs) {
            return Of::Policy(policy);
        }
        let named = match (self.resource, self.method.as_str()) {
            // No database is called so: nothing needs to be looked at.
            (Resource::Orgs, _) => Some(""),
            (Resource::Buckets, "POST") => self.text("name"),
            (Resource::Buckets, _) => self.url.filled("name"),
            (Resource::Dbrps, "POST") => self.text("database"),
            (Resource::Dbrps, _) => self.url.filled("db").or(self.url.filled("database")),
        };
        let split = |name: &str| crate::model::name::split_bucket(name).0.to_owned();
        // What is no id is refused without looking.
        match self.id.as_deref().map(|_| "").or(named) {
            Some(name) => Of::Named(split(name)),
            None => Of::All,
        }
    }

    /// A text of the body.
    fn text(&self, name: &str) -> Option<&str> {
        self.body.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    /// A required text of the body.
    fn required(&self, name: &str) -> Result<&str, ApiError> {
        self.text(name).ok_or_else(|| ApiError::Invalid(format!("{name} is required")))
    }

    /// The entry that the path names.
    fn entry<'a, 'b>(&self, entries: &'b [Entry<'a>]) -> Result<Option<&'b Entry<'a>>, ApiError> {
        let Some(id) = self.id.as_deref() else { return Ok(None) };
        let Some(wanted) = policy_id(id) else {
            return Err(ApiError::Invalid(format!("invalid id \"{id}\": it has 16 hex digits")));
        };
        let found = entries.iter().find(|entry| entry.policy.id == wanted);
        found.map(Some).ok_or_else(|| not_found(id))
    }
}

/// A policy's id as clients write it.
pub fn policy_id(text: &str) -> Option<PolicyId> {
    let hex = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    u64::from_str_radix(text, 16).ok().filter(|_| hex).map(PolicyId)
}

/// Database and policy of this id, among what was found.
pub fn policy_of(found: &[Surveyed], id: PolicyId) -> Option<(String, String)> {
    let entries = entries(found);
    let entry = entries.iter().find(|entry| entry.policy.id == id)?;
    Some((entry.database.to_owned(), entry.policy.name.clone()))
}

/// Whether `entry` is what a client calls `name`.
fn is_called(entry: &Entry<'_>, found: &[Surveyed], name: &str) -> bool {
    let (database, policy) = crate::model::name::split_bucket(name);
    let of_name = found.iter().find(|(found, _)| found == database);
    let policy = of_name.and_then(|(_, description)| find_policy(description, policy));
    entry.database == database && policy.is_some_and(|policy| policy.id == entry.policy.id)
}

fn not_found(what: &str) -> ApiError {
    ApiError::NotFound(format!("not found: \"{what}\""))
}

fn json(status: u16, value: &Value) -> Response {
    Response::json(status, format!("{value}\n"))
}
