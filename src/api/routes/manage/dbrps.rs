//! `/api/v2/dbrps`: how databases and policies map to buckets. Each is its own bucket, so every
//! mapping exists from the beginning, and no other can.

use serde_json::{Value, json};

use super::orgs::ORG_ID;
use super::{After, Entry, ManageRequest, Plan, json as respond};
use crate::api::error::ApiError;
use crate::protocol::database::PolicyChange;
use crate::route::create_drop::Change;

/// A mapping as v2 prints it; its id is its bucket's.
pub(super) fn value(entry: &Entry<'_>) -> Value {
    let id = entry.policy.id.to_string();
    json!({
        "id": id,
        "bucketID": id,
        "orgID": ORG_ID,
        "database": entry.database,
        "retention_policy": entry.policy.name,
        "default": entry.default,
        "virtual": true,
    })
}

pub(super) fn plan(request: &ManageRequest, entries: &[Entry<'_>]) -> Result<Plan, ApiError> {
    if let Some(entry) = request.entry(entries)? {
        return match request.method.as_str() {
            "PATCH" => change(request, entry, 200),
            // As in 2.x, where a bucket named `db/rp` keeps its virtual mapping.
            "DELETE" => Ok(Plan::Change(Vec::new(), After::Empty)),
            _ => Ok(Plan::Answer(respond(200, &json!({ "content": value(entry) })))),
        };
    }
    if request.method == "POST" {
        return create(request, entries);
    }
    let mut all: Vec<&Entry<'_>> = entries.iter().collect();
    let given = |names: [&str; 2]| names.iter().find_map(|name| request.url.filled(name));
    let wanted = [
        given(["db", "database"]),
        given(["rp", "retention_policy"]),
        given(["bucketID", "bucketID"]),
        given(["id", "id"]),
        given(["default", "default"]),
    ];
    all.retain(|entry| {
        let id = entry.policy.id.to_string();
        let default = if entry.default { "true" } else { "false" };
        let has = [entry.database, &entry.policy.name, &id, &id, default];
        wanted.iter().zip(has).all(|(wanted, has)| wanted.is_none_or(|wanted| wanted == has))
    });
    let content = Value::Array(all.iter().map(|entry| value(entry)).collect());
    Ok(Plan::Answer(respond(200, &json!({ "content": content }))))
}

/// A mapping that exists is taken; of any other it is said why it cannot.
fn create(request: &ManageRequest, entries: &[Entry<'_>]) -> Result<Plan, ApiError> {
    let (database, policy) = (request.required("database")?, request.required("retention_policy")?);
    let bucket = request.text("bucketID").or(request.text("bucket"));
    let bucket = bucket.ok_or_else(|| ApiError::Invalid("bucketID is required".to_owned()))?;
    let here = |e: &&Entry<'_>| e.database == database && e.policy.name == policy;
    let entry = entries.iter().find(here).filter(|entry| {
        let id = entry.policy.id.to_string();
        bucket == id || bucket == entry.bucket() || bucket == format!("{database}/{policy}")
    });
    let entry = entry.ok_or_else(|| {
        ApiError::Unprocessable(format!(
            "database \"{database}\" with retention policy \"{policy}\" maps to the bucket \
             \"{database}/{policy}\" and to no other: create that bucket at /api/v2/buckets"
        ))
    })?;
    change(request, entry, 201)
}

/// Whether it is the default is all that can change.
fn change(request: &ManageRequest, entry: &Entry<'_>, status: u16) -> Result<Plan, ApiError> {
    let (database, policy) = (entry.database.to_owned(), entry.policy.name.clone());
    if request.text("retention_policy").is_some_and(|name| name != policy) {
        let why = "a mapping keeps its policy: create the bucket of the other one";
        return Err(ApiError::Unprocessable(why.to_owned()));
    }
    let mut changes = Vec::new();
    match request.body.get("default").and_then(Value::as_bool) {
        Some(true) if !entry.default => {
            let spec = PolicyChange { name: policy.clone(), ..PolicyChange::default() };
            let (database, make_default) = (database.clone(), true);
            changes.push(Change::AlterPolicy { database, spec, make_default });
        }
        Some(false) if entry.default && status == 200 => {
            let why = "make another policy of the database the default instead";
            return Err(ApiError::Unprocessable(why.to_owned()));
        }
        _ => {}
    }
    Ok(Plan::Change(changes, After::Show { status, database, policy }))
}
