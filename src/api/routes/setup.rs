//! Serves `/ready`, `/api/v2/ready` and `/api/v2/setup`, whose replies are the same on every
//! server.

use crate::api::error::ApiError;
use crate::api::http::Response;
use crate::api::routes::handler::{AnsweredAtOnce, Handler, Incoming};

/// `GET /ready` and `GET /api/v2/ready`
///
/// # Errors
/// None.
pub fn begin_ready(_request: &Incoming<'_>) -> Result<Box<dyn Handler>, ApiError> {
    Ok(AnsweredAtOnce::with(Response::json(200, "{\"status\":\"ready\"}\n")))
}

/// `/api/v2/setup`: the secret `ADMIN_TOKEN` is all the setting up there is.
///
/// # Errors
/// [`ApiError::Unprocessable`] for whoever wants to do it again.
pub fn begin_setup(request: &Incoming<'_>) -> Result<Box<dyn Handler>, ApiError> {
    if request.head.method == "POST" {
        let why =
            "onboarding has already been completed: the admin token is the secret ADMIN_TOKEN";
        return Err(ApiError::Unprocessable(why.to_owned()));
    }
    Ok(AnsweredAtOnce::with(Response::json(200, "{\"allowed\":false}\n")))
}
