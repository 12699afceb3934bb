//! Serves `/api/v3/configure/token/secret`. POST gives a token a new secret, and the old secret
//! stays valid for a limited time. DELETE revokes one of the token's secrets.

use serde::Deserialize;
use serde_json::json;

use super::{change, dropped, invalid, new_secret, not_found};
use crate::api::error::{ApiError, ApiResult};
use crate::api::http::Response;
use crate::api::routes::handler::{Handler, Incoming, TaskHandler, json_line};
use crate::coordinator::Io;
use crate::coordinator::error::Error;
use crate::coordinator::grants::token_hash;
use crate::influxql::time_literal::format_utc;
use crate::model::limits::{SECRET_KEPT_S, SECRET_KEPT_S_MAX};
use crate::model::time::S_NS;
use crate::protocol::call::Platform;
use crate::protocol::catalog::{FromCatalog, Rotation, ToCatalog};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    token_name: String,
    keep_secs: Option<i64>,
}

/// Creates the handler for `POST` and `DELETE /api/v3/configure/token/secret`.
pub fn begin(request: &Incoming<'_>) -> ApiResult<Box<dyn Handler>> {
    if request.head.method == "POST" {
        return Ok(Box::new(TaskHandler::with_body(|isolate, body| {
            let (token, rotation) = new_rotation(body.json()?, isolate.platform)?;
            Ok(|io| rotate(io, token, rotation))
        })));
    }
    match (request.url.filled("token_name"), request.url.filled("hash")) {
        (Some(name), Some(hash)) => {
            let (name, hash) = (name.to_owned(), hash.to_ascii_lowercase());
            Ok(Box::new(TaskHandler::run(|io| end(io, name, hash))))
        }
        _ => invalid(
            "name the token with the parameter token_name, and the secret with hash, as in the \
             list of tokens",
        ),
    }
}

fn new_rotation(body: Body, platform: &dyn Platform) -> ApiResult<(String, Rotation)> {
    let keep_s = body.keep_secs.unwrap_or(SECRET_KEPT_S);
    if !(0..=SECRET_KEPT_S_MAX).contains(&keep_s) {
        return invalid(&format!(
            "keep_secs must be from 0 (the old secret expires immediately) to {SECRET_KEPT_S_MAX}"
        ));
    }
    let now_ns = platform.now_ns();
    let until_ns = now_ns.saturating_add(keep_s.saturating_mul(S_NS));
    let token = new_secret(platform)?;
    let (name, hash) = (body.token_name, token_hash(&token));
    Ok((token, Rotation { name, hash, now_ns, until_ns }))
}

async fn rotate(io: Io, token: String, rotation: Rotation) -> ApiResult<Response> {
    match change(&io, &ToCatalog::RotateToken(rotation.clone())).await? {
        FromCatalog::Granted { id, remaining } => {
            let body = json!({
                "id": id,
                "name": rotation.name,
                "token": token,
                "hash": rotation.hash,
                "created_at": format_utc(rotation.now_ns),
                "earlier_expiry": format_utc(rotation.until_ns),
                "remaining": remaining,
            });
            Ok(json_line(if remaining == 0 { 200 } else { 202 }, &body))
        }
        FromCatalog::Dropped { .. } => Err(not_found(&rotation.name)),
        _ => Err(Error::unexpected_reply().into()),
    }
}

async fn end(io: Io, name: String, hash: String) -> ApiResult<Response> {
    let message = ToCatalog::EndSecret { name: name.clone(), hash: hash.clone() };
    dropped(change(&io, &message).await?, || {
        ApiError::NotFound(format!(
            "token \"{name}\" has no secret with hash {hash}: see the list \
                                    of tokens"
        ))
    })
}
