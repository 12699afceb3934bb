//! Serves `/api/v2/buckets`, `dbrps` and `orgs`: databases and policies under v2's names.
//!
//! Each policy is both a bucket and a mapping, and there is one organisation.

pub mod bucket_names;
mod buckets;
mod dbrps;
mod orgs;
mod request;

use std::vec;

use serde_json::Value;

use crate::api::action::Action;
use crate::api::error::ApiResult;
use crate::api::http::Response;
use crate::api::isolate_state::Isolate;
use crate::api::routes::handler::{Handler, Incoming, Received};
use crate::coordinator::create_drop::{Change, Changed, carry_out};
use crate::coordinator::describe_databases::{
    DescribedDatabase, WhichDatabases, describe_databases,
};
use crate::coordinator::grants::Principal;
use crate::coordinator::{Machine, Task};
use crate::protocol::call::{Reply, Step};
use bucket_names::buckets_of;
use request::{AfterChanges, ManagePlan, ManageRequest, Resource, json, not_found};

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
    DescribeDatabases(Task<Vec<DescribedDatabase>>),
    Change {
        current: Task<Changed>,
        rest: vec::IntoIter<Change>,
        after: AfterChanges,
    },
    Show {
        task: Task<Vec<DescribedDatabase>>,
        status: u16,
        policy: String,
    },
}

/// Creates the handler for a request to `/api/v2/buckets` or `/api/v2/buckets/{id}`.
pub fn begin_buckets(request: &Incoming<'_>) -> ApiResult<Box<dyn Handler>> {
    Ok(begin(request, Resource::Buckets))
}

/// Creates the handler for a request to `/api/v2/dbrps` or `/api/v2/dbrps/{id}`.
pub fn begin_dbrps(request: &Incoming<'_>) -> ApiResult<Box<dyn Handler>> {
    Ok(begin(request, Resource::Dbrps))
}

/// Creates the handler for a request to `/api/v2/orgs` or `/api/v2/orgs/{id}`.
pub fn begin_orgs(request: &Incoming<'_>) -> ApiResult<Box<dyn Handler>> {
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
    ) -> ApiResult<()> {
        self.request.default_shards = isolate.settings()?.default_shards;
        if !body.bytes().is_empty() {
            self.request.body = body.json()?;
        }
        self.principal = request.caller.clone();
        self.stage = ManageStage::DescribeDatabases(describe_databases(
            &self.principal,
            self.request.databases_to_read(),
        ));
        Ok(())
    }

    fn step(&mut self, isolate: &mut Isolate<'_>, mut reply: Option<Reply>) -> ApiResult<Action> {
        let context = &mut isolate.context();
        loop {
            let next = match &mut self.stage {
                ManageStage::Unread => return Ok(Action::End),
                ManageStage::DescribeDatabases(task) => match task.step(context, reply.take()) {
                    Step::Calls(calls) => return Ok(Action::Calls(calls)),
                    Step::Done(found) => match self.plan(&found?)? {
                        ManagePlan::Respond(response) => return Ok(Action::Respond(response)),
                        ManagePlan::Change(changes, after) => {
                            self.change(changes.into_iter(), after)
                        }
                    },
                },
                ManageStage::Change { current, rest, after } => {
                    match current.step(context, reply.take()) {
                        Step::Calls(calls) => return Ok(Action::Calls(calls)),
                        Step::Done(Err(error)) => return Err(error.into()),
                        Step::Done(Ok(_)) => {}
                    }
                    let rest = std::mem::take(rest);
                    let after = std::mem::replace(after, AfterChanges::Empty);
                    self.change(rest, after)
                }
                ManageStage::Show { task, status, policy } => {
                    match task.step(context, reply.take()) {
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
    /// Returns the stage of the next change, or the stage that reads the changed resource. Returns
    /// `None` if the response is empty.
    fn change(&self, mut rest: vec::IntoIter<Change>, after: AfterChanges) -> Option<ManageStage> {
        if let Some(change) = rest.next() {
            return Some(ManageStage::Change { current: carry_out(change), rest, after });
        }
        match after {
            AfterChanges::Empty => None,
            AfterChanges::Show { status, database, policy } => {
                let task = describe_databases(&self.principal, WhichDatabases::Named(database));
                Some(ManageStage::Show { task, status, policy })
            }
        }
    }

    fn show(&self, found: &[DescribedDatabase], status: u16, policy: &str) -> ApiResult<Response> {
        let buckets = buckets_of(found);
        let shown = buckets.iter().find(|bucket| bucket.policy.name == policy);
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

    fn plan(&self, found: &[DescribedDatabase]) -> ApiResult<ManagePlan> {
        let mut buckets = buckets_of(found);
        // Every caller with any permission on a policy can see the policy. Changes already required
        // the admin token.
        let grants = &self.principal.grants;
        buckets.retain(|bucket| grants.sees_policy(bucket.database, &bucket.policy.name));
        match self.request.resource {
            Resource::Dbrps => dbrps::plan(&self.request, &buckets),
            Resource::Orgs => orgs::plan(&self.request).map(ManagePlan::Respond),
            Resource::Buckets => buckets::plan(&self.request, found, &buckets),
        }
    }
}
