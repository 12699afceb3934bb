//! Serves `/api/v2/dbrps`, which maps databases and policies to buckets. Each policy is also a
//! bucket, so every mapping always exists and other mappings are impossible.

use serde_json::{Value, json};

use super::bucket_names::Bucket;
use super::orgs::ORG_ID;
use super::request::{AfterChanges, ManagePlan, ManageRequest};
use crate::api::error::{ApiError, ApiResult};
use crate::coordinator::create_drop::Change;
use crate::protocol::database::{PolicyChange, ToDatabase};

pub(super) fn value(bucket: &Bucket<'_>) -> Value {
    let id = bucket.policy.id.to_string();
    json!({
        "id": id,
        "bucketID": id,
        "orgID": ORG_ID,
        "database": bucket.database,
        "retention_policy": bucket.policy.name,
        "default": bucket.default,
        "virtual": true,
    })
}

pub(super) fn plan(request: &ManageRequest, buckets: &[Bucket<'_>]) -> ApiResult<ManagePlan> {
    if let Some(bucket) = request.bucket(buckets)? {
        return match request.method.as_str() {
            "PATCH" => change(request, bucket, 200),
            // As in 2.x, DELETE does not remove the virtual mapping of a bucket named `db/rp`.
            "DELETE" => Ok(ManagePlan::Change(Vec::new(), AfterChanges::Empty)),
            _ => Ok(ManagePlan::Respond(json!({ "content": value(bucket) }))),
        };
    }
    if request.method == "POST" {
        return create(request, buckets);
    }
    let mut all: Vec<&Bucket<'_>> = buckets.iter().collect();
    let given = |names: [&str; 2]| names.iter().find_map(|name| request.url.filled(name));
    let wanted = [
        given(["db", "database"]),
        given(["rp", "retention_policy"]),
        given(["bucketID", "bucketID"]),
        given(["id", "id"]),
        given(["default", "default"]),
    ];
    // The position of a page counts all mappings. If the server filtered the mappings of a page,
    // the client could not compute the position of the next page.
    if request.is_paged() {
        if wanted[1..].iter().any(Option::is_some) {
            let reason = "limit, offset and after can be combined only with the filter db";
            return Err(ApiError::Invalid(reason.to_owned()));
        }
        all = request.page_of(&all)?;
    }
    all.retain(|bucket| {
        let id = bucket.policy.id.to_string();
        let default = if bucket.default { "true" } else { "false" };
        let has = [bucket.database, &bucket.policy.name, &id, &id, default];
        wanted.iter().zip(has).all(|(wanted, has)| wanted.is_none_or(|wanted| wanted == has))
    });
    let content = Value::Array(all.iter().map(|bucket| value(bucket)).collect());
    Ok(ManagePlan::Respond(json!({ "content": content })))
}

/// Accepts a mapping that exists. For any other mapping, returns an error with the reason.
fn create(request: &ManageRequest, buckets: &[Bucket<'_>]) -> ApiResult<ManagePlan> {
    let (database, policy) = (request.required("database")?, request.required("retention_policy")?);
    let wanted = request.text("bucketID").or(request.text("bucket"));
    let wanted = wanted.ok_or_else(|| ApiError::Invalid("bucketID is required".to_owned()))?;
    let here = |bucket: &&Bucket<'_>| bucket.database == database && bucket.policy.name == policy;
    let bucket = buckets.iter().find(here).filter(|bucket| {
        let id = bucket.policy.id.to_string();
        wanted == id || wanted == bucket.name() || wanted == format!("{database}/{policy}")
    });
    let bucket = bucket.ok_or_else(|| {
        ApiError::Unprocessable(format!(
            "database \"{database}\" with retention policy \"{policy}\" maps to the bucket \
             \"{database}/{policy}\" and to no other: create that bucket at /api/v2/buckets"
        ))
    })?;
    change(request, bucket, 201)
}

/// Changes whether the policy is the default. All other properties of a mapping are fixed.
fn change(request: &ManageRequest, bucket: &Bucket<'_>, status: u16) -> ApiResult<ManagePlan> {
    let (database, policy) = (bucket.database.to_owned(), bucket.policy.name.clone());
    if request.text("retention_policy").is_some_and(|name| name != policy) {
        let reason = "the retention policy of a mapping cannot change: create a bucket for the other \
                   policy";
        return Err(ApiError::Unprocessable(reason.to_owned()));
    }
    let mut changes = Vec::new();
    match request.body.get("default").and_then(Value::as_bool) {
        Some(true) if !bucket.default => {
            let spec = PolicyChange { name: policy.clone(), ..PolicyChange::default() };
            let (database, make_default) = (database.clone(), true);
            let message = ToDatabase::AlterPolicy { spec, make_default };
            changes.push(Change::within(&database, message));
        }
        Some(false) if bucket.default && status == 200 => {
            let reason = "make another policy of the database the default instead";
            return Err(ApiError::Unprocessable(reason.to_owned()));
        }
        _ => {}
    }
    Ok(ManagePlan::Change(changes, AfterChanges::Show { status, database, policy }))
}
