//! Serves `/api/v3/query_sql`. The SQL Worker creates the response piece by piece. This module
//! checks permissions, determines the policy and sets the status.

use super::{QueryRequest, database_not_found};
use crate::action::Action;
use crate::auth::AuthError;
use crate::error::{ApiError, ApiResult, invalid};
use crate::isolate_state::Isolate;
use crate::routes::handler::{Delivery, Responder, StartResult};
use tidemark_coordinator::Machine;
use tidemark_coordinator::error::Error;
use tidemark_coordinator::grants::Principal;
use tidemark_coordinator::session::Session;
use tidemark_coordinator::sql::{SqlQuery, SqlStatement};
use tidemark_engine::protocol::call::{Call, Reply, Step};
use tidemark_engine::protocol::sql::{PREPARED_FORMAT, Parameter};
use tidemark_model::grant::PermissionKind;
use tidemark_query::admission::QueryReservation;

const NOT_BOUND: &str = "the server has no SQL: run `npm run sql` once and start or deploy again \
                         (docs/SQL.md), or query with InfluxQL at /query";

struct RunningStatement {
    database: String,
    policy: Option<String>,
    statement: Option<(SqlStatement, Session)>,
    query: Option<Box<SqlQuery>>,
    delivery: Delivery,
}

/// Creates the response to a statement.
pub fn for_statement(request: QueryRequest, isolate: &Isolate<'_>) -> StartResult {
    let format = request.format.name();
    begin_statement(request, format, isolate)
}

/// Creates the response to a statement that a client prepares: the schema of the parameters, and
/// then the rows, as Arrow IPC.
pub fn for_preparation(request: QueryRequest, isolate: &Isolate<'_>) -> StartResult {
    begin_statement(request, PREPARED_FORMAT, isolate)
}

fn begin_statement(
    request: QueryRequest,
    format: &'static str,
    isolate: &Isolate<'_>,
) -> StartResult {
    let Some(database) = request.database else {
        return invalid("missing query parameter 'db'");
    };
    if !isolate.platform.has_sql() {
        return Err(ApiError::NotImplemented(NOT_BOUND.to_owned()));
    }
    // An integer is signed if possible, because few columns can be compared with unsigned values.
    let signed = |(name, value)| match value {
        Parameter::Unsigned(number) => {
            (name, i64::try_from(number).map_or(value, Parameter::Integer))
        }
        value => (name, value),
    };
    let statement = SqlStatement {
        text: request.q,
        parameters: request.params.into_iter().map(signed).collect(),
        format,
    };
    let session = Session {
        database: Some(database.clone()),
        policy: request.policy.clone(),
        now_ns: isolate.now_ns(),
        ..Session::default()
    };
    Ok(Box::new(RunningStatement {
        database,
        policy: request.policy,
        statement: Some((statement, session)),
        query: None,
        delivery: Delivery::new(request.format.content_type()),
    }))
}

/// Refuses `caller` unless it may read at least one policy that the statement may use. If the
/// request names no policy, the permission is checked again when the default policy is known.
pub fn check_read(
    caller: &Principal,
    database: &str,
    policy: Option<&str>,
) -> Result<(), AuthError> {
    match caller.grants.scope(PermissionKind::Read, database).may_cover(policy) {
        true => Ok(()),
        false => Err(AuthError::forbidden(caller, PermissionKind::Read, database)),
    }
}

impl Responder for RunningStatement {
    fn step(&mut self, isolate: &mut Isolate<'_>, reply: Option<Reply>) -> ApiResult<Action> {
        let Some(query) = &mut self.query else { return Ok(Action::End) };
        match query.step(&mut isolate.context(), reply) {
            Step::Done(Err(Error::DatabaseNotFound(name))) => Err(database_not_found(&name)),
            step => self.delivery.stream(step),
        }
    }

    fn check_statements(&mut self, caller: &Principal) -> Result<(), AuthError> {
        check_read(caller, &self.database, self.policy.as_deref())?;
        if let Some((statement, mut session)) = self.statement.take() {
            session.principal = caller.clone();
            self.query = Some(Box::new(SqlQuery::prepare(statement, session)));
        }
        Ok(())
    }

    fn databases(&mut self) -> Vec<String> {
        vec![self.database.clone()]
    }

    fn reservation(&mut self) -> Option<&QueryReservation> {
        self.query.as_ref()?.reservation()
    }

    fn abandon(&mut self) -> Vec<Call> {
        self.query.as_mut().map_or_else(Vec::new, |query| query.abandon())
    }
}
