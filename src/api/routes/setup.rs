//! Serves `/ready`, `/api/v2/ready` and `/api/v2/setup`, whose responses are constant.

use crate::api::error::{ApiError, ApiResult};
use crate::api::http::Response;
use crate::api::routes::handler::{Incoming, PendingRequest};

/// Parses the request of `GET /ready` and `GET /api/v2/ready`.
pub fn begin_ready(_request: &Incoming<'_>) -> ApiResult<PendingRequest> {
    Ok(PendingRequest::respond(Response::json(200, "{\"status\":\"ready\"}\n")))
}

/// Parses a request to `/api/v2/setup`. The server needs no setup except for the
/// secret `ADMIN_TOKEN`.
pub fn begin_setup(request: &Incoming<'_>) -> ApiResult<PendingRequest> {
    if request.head.method == "POST" {
        let reason =
            "onboarding has already been completed: the admin token is the secret ADMIN_TOKEN";
        return Err(ApiError::Unprocessable(reason.to_owned()));
    }
    Ok(PendingRequest::respond(Response::json(200, "{\"allowed\":false}\n")))
}
