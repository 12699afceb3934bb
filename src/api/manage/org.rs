//! `/api/v2/orgs`, `/api/v2/ready`, `/api/v2/setup`: what never changes.

use serde_json::{Value, json};

use super::{Asked, not_found};
use crate::api::error::ApiError;
use crate::api::http::Response;

/// Where organisations are.
pub const ORG_PATH: &str = "/api/v2/orgs";
/// The one organisation's id; its name is of no consequence, since every request is in it.
pub(super) const ORG_ID: &str = "0000000000000001";

/// The organisation, alone or in a list. Whatever name a client looks for, it is this one.
pub(super) fn plan(asked: &Asked) -> Result<Response, ApiError> {
    let asked_id = asked.id.as_deref().or(asked.url.filled("orgID"));
    if let Some(id) = asked_id.filter(|id| *id != ORG_ID) {
        return Err(not_found(id));
    }
    let name = asked.url.filled("org").unwrap_or("tidemark");
    let links = json!({
        "self": format!("{ORG_PATH}/{ORG_ID}"),
        "buckets": format!("/api/v2/buckets?orgID={ORG_ID}"),
    });
    let org = json!({ "id": ORG_ID, "name": name, "links": links });
    let value: Value = match asked.id {
        Some(_) => org,
        None => json!({ "links": { "self": ORG_PATH }, "orgs": [org] }),
    };
    Ok(super::json(200, &value))
}

/// `GET /api/v2/ready`
pub fn ready() -> Response {
    Response::json(200, "{\"status\":\"ready\"}\n")
}

/// `/api/v2/setup`: the secret `ADMIN_TOKEN` is all the setting up there is.
///
/// # Errors
/// [`ApiError::Unprocessable`] for whoever wants to do it again.
pub fn setup(method: &str) -> Result<Response, ApiError> {
    if method == "POST" {
        let why =
            "onboarding has already been completed: the admin token is the secret ADMIN_TOKEN";
        return Err(ApiError::Unprocessable(why.to_owned()));
    }
    Ok(Response::json(200, "{\"allowed\":false}\n"))
}
