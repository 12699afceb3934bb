//! Serves `/api/v2/buckets`, `dbrps` and `orgs`: databases and policies under v2's names.
//!
//! Each policy is both a bucket and a mapping, and there is one organisation.

pub mod bucket_names;
mod buckets;
mod dbrps;
mod orgs;
mod request;

use serde_json::Value;

use crate::api::error::ApiResult;
use crate::api::http::Response;
use crate::api::routes::handler::{self, Incoming, PendingRequest, json_line};
use crate::coordinator::Io;
use crate::coordinator::create_drop::carry_out;
use crate::coordinator::database_lists::{DescribedDatabase, WhichDatabases, describe_databases};
use crate::coordinator::grants::Principal;
use bucket_names::buckets_of;
use request::{AfterChanges, ManagePlan, ManageRequest, Resource, not_found};

/// Parses a request to `/api/v2/buckets` or `/api/v2/buckets/{id}`.
pub fn begin_buckets(_request: &Incoming<'_>) -> ApiResult<PendingRequest> {
    Ok(begin(Resource::Buckets))
}

/// Parses a request to `/api/v2/dbrps` or `/api/v2/dbrps/{id}`.
pub fn begin_dbrps(_request: &Incoming<'_>) -> ApiResult<PendingRequest> {
    Ok(begin(Resource::Dbrps))
}

/// Parses a request to `/api/v2/orgs` or `/api/v2/orgs/{id}`.
pub fn begin_orgs(_request: &Incoming<'_>) -> ApiResult<PendingRequest> {
    Ok(begin(Resource::Orgs))
}

fn begin(resource: Resource) -> PendingRequest {
    PendingRequest::new(move |admitted, isolate, body| {
        let Incoming { head, url, id, caller } = admitted.request;
        let request = ManageRequest {
            resource,
            method: head.method.clone(),
            id: id.map(str::to_owned),
            url: url.clone(),
            body: if body.0.is_empty() { Value::Null } else { body.json()? },
            default_shards: isolate.settings()?.default_shards,
        };
        let principal = caller.clone();
        Ok(handler::run(|io| run(io, request, principal)))
    })
}

async fn run(io: Io, request: ManageRequest, principal: Principal) -> ApiResult<Response> {
    let found = describe_databases(&io, &principal, request.databases_to_read()).await?;
    let (changes, after) = match plan(&request, &principal, &found)? {
        ManagePlan::Respond(value) => return Ok(json_line(200, &value)),
        ManagePlan::Change(changes, after) => (changes, after),
    };
    for change in changes {
        io.run(carry_out(change)).await?;
    }
    let AfterChanges::Show { status, database, policy } = after else {
        return Ok(Response::empty(204));
    };
    let found = describe_databases(&io, &principal, WhichDatabases::Named(database)).await?;
    let buckets = buckets_of(&found);
    let shown = buckets.iter().find(|bucket| bucket.policy.name == policy);
    let shown = shown.ok_or_else(|| not_found(&policy))?;
    let value = match request.resource {
        Resource::Dbrps if status == 200 => serde_json::json!({ "content": dbrps::value(shown) }),
        Resource::Dbrps => dbrps::value(shown),
        Resource::Buckets | Resource::Orgs => buckets::value(shown),
    };
    Ok(json_line(status, &value))
}

fn plan(
    request: &ManageRequest,
    principal: &Principal,
    found: &[DescribedDatabase],
) -> ApiResult<ManagePlan> {
    let mut buckets = buckets_of(found);
    // Every caller with any permission on a policy can see the policy. Changes already required the
    // admin token.
    buckets.retain(|bucket| principal.grants.sees_policy(bucket.database, &bucket.policy.name));
    match request.resource {
        Resource::Dbrps => dbrps::plan(request, &buckets),
        Resource::Orgs => orgs::plan(request).map(ManagePlan::Respond),
        Resource::Buckets => buckets::plan(request, found, &buckets),
    }
}
