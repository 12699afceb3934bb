//! Serves `/api/v3/query_sql`. The SQL Worker creates the response piece by piece. This module
//! checks permissions, determines the policy and sets the status.

use super::{QueryRequest, database_not_found};
use crate::action::Action;
use crate::auth::AuthError;
use crate::error::{ApiError, ApiResult, invalid};
use crate::routes::handler::{Delivery, Request};
use tidemark_coordinator::error::Error;
use tidemark_coordinator::grants::Principal;
use tidemark_coordinator::sql::{SqlStatement, execute};
use tidemark_engine::protocol::sql::{PREPARED_FORMAT, Parameter};
use tidemark_model::grant::PermissionKind;

const NOT_BOUND: &str = "the server has no SQL: run `npm run sql` once and start or deploy again \
                         (docs/SQL.md), or query with InfluxQL at /query";

/// Responds to a statement.
pub async fn respond(request: Request, query: QueryRequest) -> ApiResult<Action> {
    let format = query.format.name();
    run(request, query, format).await
}

/// Responds to a statement that a client prepares: the schema of the parameters, and then the rows,
/// as Arrow IPC.
pub async fn respond_to_preparation(request: Request, query: QueryRequest) -> ApiResult<Action> {
    run(request, query, PREPARED_FORMAT).await
}

async fn run(request: Request, query: QueryRequest, format: &'static str) -> ApiResult<Action> {
    let Some(database) = query.database else {
        return invalid("missing query parameter 'db'");
    };
    if !request.io.with(|context| context.platform.has_sql())? {
        return Err(ApiError::NotImplemented(NOT_BOUND.to_owned()));
    }
    authorise(&request, &database, query.policy.as_deref()).await?;
    // An integer is signed if possible, because few columns can be compared with unsigned values.
    let signed = |(name, value)| match value {
        Parameter::Unsigned(number) => {
            (name, i64::try_from(number).map_or(value, Parameter::Integer))
        }
        value => (name, value),
    };
    let parameters = query.params.into_iter().map(signed).collect();
    let statement = SqlStatement { text: query.q, parameters, format };
    let mut pieces = execute(statement, request.session(Some(database), query.policy)?);
    let mut delivery = Delivery::new(&request, query.format.content_type());
    while let Some(piece) = request.io.next(&mut pieces).await.map_err(|error| match error {
        Error::DatabaseNotFound(name) => database_not_found(&name),
        error => error.into(),
    })? {
        delivery.send(piece).await;
    }
    Ok(Action::End)
}

/// Refuses the caller unless it may read at least one policy that the statement may use. If the
/// request names no policy, the permission is checked again when the default policy is known.
pub async fn authorise(request: &Request, database: &str, policy: Option<&str>) -> ApiResult<()> {
    let check = |caller: &Principal| match caller
        .grants
        .scope(PermissionKind::Read, database)
        .may_cover(policy)
    {
        true => Ok(()),
        false => Err(AuthError::forbidden(caller, PermissionKind::Read, database)),
    };
    request.authorise(|| vec![database.to_owned()], check).await
}
