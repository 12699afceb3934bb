//! Databases and policies by the names that the vendors' clients have for them: the list of
//! `/api/v3/configure/database`, and `/api/v2/buckets`, `dbrps` and `orgs`.
//!
//! A bucket is a policy and so is a mapping; there is one organisation. Every request surveys
//! the databases first, is then answered or becomes changes, and shows what these made.

mod bucket;
mod databases;
mod dbrp;
mod org;

use std::vec;

use serde_json::Value;

use super::action::Action;
use super::error::ApiError;
use super::http::{Parameters, Response};
use crate::model::grant::Right;
use crate::model::ids::PolicyId;
use crate::model::shard_map::Policy;
use crate::model::sorted;
use crate::protocol::call::{Reply, Step};
use crate::route::cache::find_policy;
use crate::route::create_drop::{Change, CreateDrop};
use crate::route::grants::Principal;
use crate::route::names::Names;
use crate::route::survey::{Of, Survey, Surveyed};
use crate::route::{Context, Machine};

pub use org::{ORG_PATH, ready, setup};

/// What is managed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// `/api/v3/configure/database`
    Databases,
    /// `/api/v2/buckets`
    Buckets,
    /// `/api/v2/dbrps`
    Dbrps,
    /// `/api/v2/orgs`
    Orgs,
}

impl Resource {
    /// What a path manages and the id at its end; `None` for any other path.
    pub fn of_path(path: &str) -> Option<(Self, Option<&str>)> {
        const PATHS: [(&str, Resource); 3] = [
            ("/api/v2/buckets", Resource::Buckets),
            ("/api/v2/dbrps", Resource::Dbrps),
            (ORG_PATH, Resource::Orgs),
        ];
        PATHS.iter().find_map(|&(parent, resource)| {
            let rest = path.strip_prefix(parent)?;
            if rest.is_empty() {
                return Some((resource, None));
            }
            let id = rest.strip_prefix('/').filter(|id| !id.contains('/'))?;
            Some((resource, Some(id)))
        })
    }

    /// The methods of its path, with an id or without one.
    pub fn methods(self, with_id: bool) -> &'static str {
        match (self, with_id) {
            (Self::Orgs, _) | (Self::Databases, _) => "GET",
            (_, false) => "GET, POST",
            (_, true) => "GET, PATCH, DELETE",
        }
    }
}

/// What is asked.
#[derive(Debug)]
struct Asked {
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
pub struct Managing {
    asked: Asked,
    principal: Principal,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Nothing but names is listed.
    Names(Names),
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

impl Managing {
    /// Reads a request; `path` is its route, `default_shards` those of a database it may make.
    ///
    /// # Errors
    /// [`ApiError::Invalid`] for a body that is not JSON.
    pub fn parse(
        (method, path): (&str, &str),
        url: &Parameters,
        body: &[u8],
        default_shards: u32,
        principal: &Principal,
    ) -> Result<Self, ApiError> {
        let (resource, id) = Resource::of_path(path).unwrap_or((Resource::Databases, None));
        let body = match body {
            [] => Value::Null,
            body => serde_json::from_slice(body)
                .map_err(|e| ApiError::Invalid(format!("the body is not what is expected: {e}")))?,
        };
        let id = id.map(str::to_owned);
        let (method, url) = (method.to_owned(), url.clone());
        let asked = Asked { resource, method, id, url, body, default_shards };
        let stage = match resource {
            Resource::Databases => Stage::Names(Names::default()),
            _ => Stage::Survey(Survey::new(principal, asked.of())),
        };
        Ok(Self { asked, principal: principal.clone(), stage })
    }

    /// Goes on.
    pub(super) fn step(
        &mut self,
        context: &mut Context<'_>,
        mut reply: Option<Reply>,
    ) -> Result<Action, ApiError> {
        loop {
            let next = match &mut self.stage {
                Stage::Names(names) => match names.step(context, reply.take()) {
                    Step::Calls(calls) => return Ok(Action::Calls(calls)),
                    Step::Done(names) => {
                        return self.databases(names?).map(Action::Respond);
                    }
                },
                Stage::Survey(survey) => match survey.step(context, reply.take()) {
                    Step::Calls(calls) => return Ok(Action::Calls(calls)),
                    Step::Done(found) => match self.plan(found?)? {
                        Plan::Answer(response) => return Ok(Action::Respond(response)),
                        Plan::Change(changes, after) => self.change(changes.into_iter(), after),
                    },
                },
                Stage::Change { current, rest, after } => {
                    match current.step(context, reply.take()) {
                        Step::Calls(calls) => return Ok(Action::Calls(calls)),
                        Step::Done(Err(error)) => return Err(error.into()),
                        Step::Done(Ok(_)) => {}
                    }
                    let rest = std::mem::take(rest);
                    let after = std::mem::replace(after, After::Empty);
                    self.change(rest, after)
                }
                Stage::Show { survey, status, policy } => {
                    match survey.step(context, reply.take()) {
                        Step::Calls(calls) => return Ok(Action::Calls(calls)),
                        Step::Done(found) => {
                            let found = found?;
                            let entries = entries(&found);
                            let shown = entries.iter().find(|entry| entry.policy.name == *policy);
                            let shown = shown.ok_or_else(|| not_found(policy))?;
                            let value = match self.asked.resource {
                                Resource::Dbrps if *status == 200 => {
                                    serde_json::json!({ "content": dbrp::value(shown) })
                                }
                                Resource::Dbrps => dbrp::value(shown),
                                _ => bucket::value(shown),
                            };
                            return Ok(Action::Respond(json(*status, &value)));
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

    /// The next change, or what shows what they made; `None` when nothing is shown.
    fn change(&self, mut rest: vec::IntoIter<Change>, after: After) -> Option<Stage> {
        if let Some(change) = rest.next() {
            return Some(Stage::Change { current: Box::new(CreateDrop::new(change)), rest, after });
        }
        match after {
            After::Empty => None,
            After::Show { status, database, policy } => {
                let survey = Survey::new(&self.principal, Of::Named(database));
                Some(Stage::Show { survey, status, policy })
            }
        }
    }

    /// The list of what the caller may see.
    fn databases(&self, mut names: Vec<String>) -> Result<Response, ApiError> {
        names.retain(|name| self.principal.grants.sees(name));
        sorted::sort_by(&mut names, Ord::cmp);
        databases::list(&self.asked, &names)
    }

    fn plan(&self, found: Vec<Surveyed>) -> Result<Plan, ApiError> {
        let mut entries = entries(&found);
        // Whatever may be done with a policy shows it; to change it the admin token was needed.
        let visible = |entry: &Entry<'_>| {
            let covers = |right| self.principal.grants.scope(right, entry.database);
            [Right::Read, Right::Write].map(covers).iter().any(|s| s.covers(&entry.policy.name))
        };
        entries.retain(visible);
        match self.asked.resource {
            Resource::Dbrps => dbrp::plan(&self.asked, &entries),
            Resource::Orgs => org::plan(&self.asked).map(Plan::Answer),
            Resource::Buckets | Resource::Databases => bucket::plan(&self.asked, &found, &entries),
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

impl Asked {
    /// What this is about, as far as that is known beforehand.
    fn of(&self) -> Of {
        let listed = ["id", "bucketID"].iter().find_map(|name| self.url.filled(name));
        let policy = self.id.as_deref().or(listed).and_then(policy_id);
        if let Some(policy) = policy.filter(|_| self.resource != Resource::Orgs) {
            return Of::Policy(policy);
        }
        let named = match (self.resource, self.method.as_str()) {
            // Listed by their names alone.
            (Resource::Databases, _) => None,
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

/// The bucket of this id as `db/rp`, among what was found.
pub fn destination(found: &[Surveyed], id: PolicyId) -> Option<(String, String)> {
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
