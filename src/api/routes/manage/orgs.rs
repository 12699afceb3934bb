//! Serves `/api/v2/orgs`, which lists the only organisation.

use serde_json::{Value, json};

use super::request::{ManageRequest, not_found};
use crate::api::error::ApiResult;

pub(super) const ORG_PATH: &str = "/api/v2/orgs";
/// The server ignores the names of organisations in requests.
pub(super) const ORG_ID: &str = "0000000000000001";

pub(super) fn plan(request: &ManageRequest) -> ApiResult<Value> {
    let asked_id = request.id.as_deref().or(request.url.filled("orgID"));
    if let Some(id) = asked_id.filter(|id| *id != ORG_ID) {
        return Err(not_found(id));
    }
    let name = request.url.filled("org").unwrap_or("tidemark");
    let links = json!({
        "self": format!("{ORG_PATH}/{ORG_ID}"),
        "buckets": format!("/api/v2/buckets?orgID={ORG_ID}"),
    });
    let org = json!({ "id": ORG_ID, "name": name, "links": links });
    Ok(match request.id {
        Some(_) => org,
        None => json!({ "links": { "self": ORG_PATH }, "orgs": [org] }),
    })
}
