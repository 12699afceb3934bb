//! `/api/v2/buckets`: a bucket is a policy, `db` the default one and `db/rp` any other.

use serde_json::{Value, json};

use super::orgs::ORG_ID;
use super::{After, Entry, ManageRequest, Plan, is_called, json as respond, not_found, policy_id};
use crate::api::error::ApiError;
use crate::model::name;
use crate::model::time::{H_NS, S_NS};
use crate::protocol::catalog::CreateDatabase;
use crate::protocol::database::{PolicyChange, PolicySpec};
use crate::route::create_drop::Change;
use crate::route::survey::Surveyed;

/// What a policy without a name is called.
const DEFAULT_POLICY: &str = "autogen";
/// Buckets of a page, unless told, and at most.
const LIMIT_DEFAULT: usize = 20;
const LIMIT_MAX: usize = 100;

/// A bucket as v2 prints it.
pub(super) fn value(entry: &Entry<'_>) -> Value {
    let id = entry.policy.id.to_string();
    let path = format!("/api/v2/buckets/{id}");
    json!({
        "id": id,
        "orgID": ORG_ID,
        "type": "user",
        "name": entry.bucket(),
        "rp": entry.policy.name,
        "retentionRules": [{
            "type": "expire",
            "everySeconds": entry.policy.duration_ns / S_NS,
            "shardGroupDurationSeconds": entry.policy.shard_group_duration_ns / S_NS,
        }],
        "labels": [],
        "links": { "self": path, "write": format!("/api/v2/write?bucket={id}") },
    })
}

pub(super) fn plan(
    request: &ManageRequest,
    found: &[Surveyed],
    entries: &[Entry<'_>],
) -> Result<Plan, ApiError> {
    let Some(entry) = request.entry(entries)? else {
        return match request.method.as_str() {
            "POST" => create(request, found, entries),
            _ => list(request, found, entries),
        };
    };
    let (database, policy) = (entry.database.to_owned(), entry.policy.name.clone());
    match request.method.as_str() {
        "PATCH" => {
            if let Some(name) = request.text("name").filter(|name| !is_called(entry, found, name)) {
                let why = "a bucket is a database's policy, and neither changes its name";
                return Err(ApiError::Unprocessable(format!("cannot rename to \"{name}\": {why}")));
            }
            let mut changes = Vec::new();
            if let Some(rules) = rules(&request.body)? {
                let spec = PolicyChange {
                    name: policy.clone(),
                    duration_ns: Some(rules.0),
                    replica_n: None,
                    // 0 is the duration's default, as of a new bucket.
                    shard_group_duration_ns: Some(rules.1),
                };
                let (database, make_default) = (database.clone(), false);
                changes.push(Change::AlterPolicy { database, spec, make_default });
            }
            Ok(Plan::Change(changes, After::Show { status: 200, database, policy }))
        }
        // A database goes with its last policy.
        "DELETE" => {
            let change = match entry.alone {
                true => Change::DropDatabase { name: database },
                false => Change::DropPolicy { database, name: policy },
            };
            Ok(Plan::Change(vec![change], After::Empty))
        }
        _ => Ok(Plan::Answer(respond(200, &value(entry)))),
    }
}

fn list(
    request: &ManageRequest,
    found: &[Surveyed],
    entries: &[Entry<'_>],
) -> Result<Plan, ApiError> {
    let number = |name: &str, default: usize| match request.url.filled(name) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| {
            ApiError::Invalid(format!("invalid {name} \"{text}\": expected a whole number"))
        }),
    };
    let (limit, offset) = (number("limit", LIMIT_DEFAULT)?, number("offset", 0)?);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(ApiError::Invalid(format!("limit must be between 1 and {LIMIT_MAX}")));
    }
    let mut all: Vec<&Entry<'_>> = entries.iter().collect();
    if let Some(org) = request.url.filled("orgID").filter(|org| *org != ORG_ID) {
        return Err(not_found(org));
    }
    if let Some(id) = request.url.filled("id") {
        all.retain(|entry| policy_id(id) == Some(entry.policy.id));
    }
    if let Some(name) = request.url.filled("name") {
        all.retain(|entry| is_called(entry, found, name));
    }
    let mut skip = offset;
    if let Some(after) = request.url.filled("after") {
        let at = all.iter().position(|entry| policy_id(after) == Some(entry.policy.id));
        skip += at.ok_or_else(|| not_found(after))? + 1;
    }
    let page = all.iter().skip(skip).take(limit).map(|entry| value(entry));
    let page = Value::Array(page.collect());
    let value = json!({ "links": { "self": "/api/v2/buckets" }, "buckets": page });
    Ok(Plan::Answer(respond(200, &value)))
}

/// Databases and policies are made as they are missing.
fn create(
    request: &ManageRequest,
    found: &[Surveyed],
    entries: &[Entry<'_>],
) -> Result<Plan, ApiError> {
    let bucket = request.required("name")?;
    if entries.iter().any(|entry| is_called(entry, found, bucket)) {
        return Err(ApiError::Unprocessable(format!("bucket with name {bucket} already exists")));
    }
    let (database, policy) = name::split_bucket(bucket);
    if [Some(database), policy].into_iter().flatten().any(|name| name::check(name).is_err()) {
        let expected = "expected db or db/rp, of printable text";
        return Err(ApiError::Invalid(format!("invalid name \"{bucket}\": {expected}")));
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
        // The default policy of one that is made for `db/rp` keeps everything.
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
        changes.push(Change::CreatePolicy { database, spec: spec(named), make_default });
    }
    let (database, policy) = (database.to_owned(), named.to_owned());
    Ok(Plan::Change(changes, After::Show { status: 201, database, policy }))
}

/// The duration of points and of shard groups that a body's rules ask for, nanoseconds; 0 is for
/// ever, or the default.
fn rules(body: &Value) -> Result<Option<(i64, i64)>, ApiError> {
    let rules = match body.get("retentionRules") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(rules)) if rules.len() <= 1 => rules,
        Some(_) => return Err(bad_rules("expected a list of one rule, or of none")),
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
            ns.ok_or_else(|| bad_rules("durations are whole seconds from 0"))
        }
    };
    let (duration_ns, shard_ns) = (seconds("everySeconds")?, seconds("shardGroupDurationSeconds")?);
    if duration_ns != 0 && duration_ns < H_NS {
        let why = "expiration seconds must be 0 (for ever) or at least one hour";
        return Err(ApiError::Unprocessable(why.to_owned()));
    }
    Ok(Some((duration_ns, shard_ns)))
}

fn bad_rules(why: &str) -> ApiError {
    ApiError::Invalid(format!("invalid retentionRules: {why}"))
}
