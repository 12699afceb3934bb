//! Serves `/api/v2/buckets`. The bucket `db` is the default policy of a database, and `db/rp` is
//! any other policy.

use serde_json::{Value, json};

use super::bucket_names::{Bucket, has_name, policy_id};
use super::orgs::ORG_ID;
use super::request::{AfterChanges, ManagePlan, ManageRequest, not_found};
use crate::api::error::{ApiError, ApiResult};
use crate::coordinator::create_drop::Change;
use crate::coordinator::database_lists::DescribedDatabase;
use crate::model::name;
use crate::model::time::{H_NS, S_NS};
use crate::protocol::catalog::CreateDatabase;
use crate::protocol::database::{PolicyChange, PolicySpec, ToDatabase};

const DEFAULT_POLICY: &str = "autogen";

pub(super) fn value(bucket: &Bucket<'_>) -> Value {
    let id = bucket.policy.id.to_string();
    let path = format!("/api/v2/buckets/{id}");
    json!({
        "id": id,
        "orgID": ORG_ID,
        "type": "user",
        "name": bucket.name(),
        "rp": bucket.policy.name,
        "retentionRules": [{
            "type": "expire",
            "everySeconds": bucket.policy.duration_ns / S_NS,
            "shardGroupDurationSeconds": bucket.policy.shard_group_duration_ns / S_NS,
        }],
        "labels": [],
        "links": { "self": path, "write": format!("/api/v2/write?bucket={id}") },
    })
}

pub(super) fn plan(
    request: &ManageRequest,
    found: &[DescribedDatabase],
    buckets: &[Bucket<'_>],
) -> ApiResult<ManagePlan> {
    let Some(bucket) = request.bucket(buckets)? else {
        return match request.method.as_str() {
            "POST" => create(request, found, buckets),
            _ => list(request, found, buckets),
        };
    };
    let (database, policy) = (bucket.database.to_owned(), bucket.policy.name.clone());
    match request.method.as_str() {
        "PATCH" => {
            if let Some(name) = request.text("name").filter(|name| !has_name(bucket, found, name)) {
                let reason = "a bucket is a database's retention policy, and databases and policies \
                           cannot be renamed";
                return Err(ApiError::Unprocessable(format!(
                    "cannot rename to \"{name}\": {reason}"
                )));
            }
            let mut changes = Vec::new();
            if let Some(rules) = rules(&request.body)? {
                let spec = PolicyChange {
                    name: policy.clone(),
                    duration_ns: Some(rules.0),
                    replica_n: None,
                    // 0 selects the default shard group duration for the retention period, as for a
                    // new bucket.
                    shard_group_duration_ns: Some(rules.1),
                };
                let (database, make_default) = (database.clone(), false);
                let message = ToDatabase::AlterPolicy { spec, make_default };
                changes.push(Change::within(&database, message));
            }
            Ok(ManagePlan::Change(changes, AfterChanges::Show { status: 200, database, policy }))
        }
        // Deleting the last policy drops the database.
        "DELETE" => {
            let change = match bucket.alone {
                true => Change::DropDatabase { name: database },
                false => Change::within(&database, ToDatabase::DropPolicy { name: policy }),
            };
            Ok(ManagePlan::Change(vec![change], AfterChanges::Empty))
        }
        _ => Ok(ManagePlan::Respond(value(bucket))),
    }
}

fn list(
    request: &ManageRequest,
    found: &[DescribedDatabase],
    buckets: &[Bucket<'_>],
) -> ApiResult<ManagePlan> {
    request.page()?;
    let mut all: Vec<&Bucket<'_>> = buckets.iter().collect();
    if let Some(org) = request.url.filled("orgID").filter(|org| *org != ORG_ID) {
        return Err(not_found(org));
    }
    if let Some(id) = request.url.filled("id") {
        all.retain(|bucket| policy_id(id) == Some(bucket.policy.id));
    }
    if let Some(name) = request.url.filled("name") {
        all.retain(|bucket| has_name(bucket, found, name));
    }
    let page = request.page_of(&all)?;
    let page = Value::Array(page.into_iter().map(value).collect());
    let value = json!({ "links": { "self": "/api/v2/buckets" }, "buckets": page });
    Ok(ManagePlan::Respond(value))
}

fn create(
    request: &ManageRequest,
    found: &[DescribedDatabase],
    buckets: &[Bucket<'_>],
) -> ApiResult<ManagePlan> {
    let name = request.required("name")?;
    if buckets.iter().any(|bucket| has_name(bucket, found, name)) {
        return Err(ApiError::Unprocessable(format!("bucket with name {name} already exists")));
    }
    let (database, policy) = name::split_bucket(name);
    if [Some(database), policy].into_iter().flatten().any(|part| name::check(part).is_err()) {
        let expected = "expected db or db/rp in printable characters";
        return Err(ApiError::Invalid(format!("invalid name \"{name}\": {expected}")));
    }
    let (duration_ns, shard_group_duration_ns) = rules(&request.body)?.unwrap_or_default();
    let spec = |name: &str| PolicySpec {
        name: Some(name.to_owned()),
        duration_ns: Some(duration_ns),
        replica_n: Some(1),
        shard_group_duration_ns,
    };
    let named = policy.unwrap_or(DEFAULT_POLICY);
    let mut changes = Vec::new();
    let missing = found.is_empty();
    if missing {
        changes.push(Change::CreateDatabase(CreateDatabase {
            name: database.to_owned(),
            policy: (named == DEFAULT_POLICY).then(|| spec(named)),
            shards: request.default_shards,
            location: None,
            jurisdiction: None,
        }));
    }
    if !missing || named != DEFAULT_POLICY {
        let (database, make_default) = (database.to_owned(), policy.is_none());
        let message = ToDatabase::CreatePolicy { spec: spec(named), make_default };
        changes.push(Change::within(&database, message));
    }
    let (database, policy) = (database.to_owned(), named.to_owned());
    Ok(ManagePlan::Change(changes, AfterChanges::Show { status: 201, database, policy }))
}

/// Returns the durations of points and of shard groups in a body's rules, in nanoseconds. 0 means
/// infinite retention, or the default shard group duration.
fn rules(body: &Value) -> ApiResult<Option<(i64, i64)>> {
    let rules = match body.get("retentionRules") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(rules)) if rules.len() <= 1 => rules,
        Some(_) => return Err(bad_rules("expected a list of at most one rule")),
    };
    let Some(rule) = rules.first() else { return Ok(Some((0, 0))) };
    if rule.get("type").and_then(Value::as_str).is_some_and(|kind| kind != "expire") {
        return Err(bad_rules("the only type is \"expire\""));
    }
    let seconds = |name: &str| match rule.get(name) {
        None | Some(Value::Null) => Ok(0),
        Some(seconds) => {
            let ns = seconds.as_i64().filter(|seconds| *seconds >= 0);
            let ns = ns.and_then(|seconds| seconds.checked_mul(S_NS));
            ns.ok_or_else(|| bad_rules("durations must be whole seconds of at least 0"))
        }
    };
    let (duration_ns, shard_ns) = (seconds("everySeconds")?, seconds("shardGroupDurationSeconds")?);
    if duration_ns != 0 && duration_ns < H_NS {
        let reason = "everySeconds must be 0 (keep points permanently) or at least 3600";
        return Err(ApiError::Unprocessable(reason.to_owned()));
    }
    Ok(Some((duration_ns, shard_ns)))
}

fn bad_rules(reason: &str) -> ApiError {
    ApiError::Invalid(format!("invalid retentionRules: {reason}"))
}
