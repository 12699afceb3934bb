//! Serves `/api/v3/query_sql`. The SQL Worker creates the response piece by piece. This module
//! checks permissions, determines the policy and sets the status.

use super::delivery::Delivery;
use super::query_v3::request::{ParamValue, QueryRequest};
use crate::admission::QueryReservation;
use crate::api::action::Action;
use crate::api::auth::AuthError;
use crate::api::error::{ApiError, ApiResult};
use crate::api::http::Response;
use crate::api::isolate_state::Isolate;
use crate::api::routes::handler::{Incoming, PendingRequest, QueryResponder, Responder};
use crate::coordinator::Machine;
use crate::coordinator::grants::Principal;
use crate::coordinator::sql::{SqlQuery, SqlQuestion};
use crate::coordinator::statement::Session;
use crate::model::grant::PermissionKind;
use crate::protocol::call::{Call, Reply, Step};
use crate::protocol::sql::Parameter;
use crate::response::table::TableFormat;

const NOT_BOUND: &str = "the server has no SQL: run `npm run sql` once and start or deploy again \
                         (docs/SQL.md), or query with InfluxQL at /query";
const NO_DATABASE: &str = "missing query parameter 'db'";

#[derive(Debug)]
struct RunningStatement {
    database: String,
    policy: Option<String>,
    format: TableFormat,
    question: Option<(SqlQuestion, Session)>,
    query: Option<Box<SqlQuery>>,
    delivery: Delivery,
}

/// Creates the request for `GET` and `POST /api/v3/query_sql`.
pub fn begin(_request: &Incoming<'_>) -> ApiResult<PendingRequest> {
    Ok(PendingRequest::new(|admitted, isolate, body| {
        check_sql(isolate)?;
        let Incoming { head, url, .. } = admitted.request;
        let statement = RunningStatement::new(QueryRequest::parse(head, url, &body.0)?, isolate)?;
        *admitted.log_database = Some(statement.database.clone());
        Ok(Box::new(statement))
    }))
}

/// Creates the response to a statement that another route received.
pub fn for_statement(
    request: QueryRequest,
    isolate: &Isolate<'_>,
) -> ApiResult<Box<dyn Responder>> {
    check_sql(isolate)?;
    Ok(Box::new(RunningStatement::new(request, isolate)?))
}

fn check_sql(isolate: &Isolate<'_>) -> ApiResult<()> {
    match isolate.platform.has_sql() {
        true => Ok(()),
        false => Err(ApiError::NotImplemented(NOT_BOUND.to_owned())),
    }
}

impl Responder for RunningStatement {
    fn step(&mut self, isolate: &mut Isolate<'_>, reply: Option<Reply>) -> ApiResult<Action> {
        let Some(query) = &mut self.query else { return Ok(Action::End) };
        match query.step(&mut isolate.context(), reply) {
            Step::Calls(calls) => Ok(Action::Calls(calls)),
            Step::Done(Ok(Some(piece))) => {
                let of_type = self.format.content_type();
                Ok(self.delivery.piece(piece, |body| Response::ok(of_type, body)))
            }
            Step::Done(Ok(None)) => Ok(Action::End),
            Step::Done(Err(error)) => Err(error.into()),
        }
    }

    fn query(&mut self) -> Option<&mut dyn QueryResponder> {
        Some(self)
    }
}

impl QueryResponder for RunningStatement {
    /// Authorises `caller` if `caller` may read at least one policy that the statement may use. If
    /// the database must resolve the policy, the database also checks the permission.
    fn check_statements(&mut self, caller: &Principal) -> Result<(), AuthError> {
        let scope = caller.grants.scope(PermissionKind::Read, &self.database);
        if !scope.may_cover(self.policy.as_deref()) {
            return Err(AuthError::forbidden(caller, PermissionKind::Read, &self.database));
        }
        if let Some((question, mut session)) = self.question.take() {
            session.principal = caller.clone();
            self.query = Some(Box::new(SqlQuery::prepare(question, session)));
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

impl RunningStatement {
    fn new(request: QueryRequest, isolate: &Isolate<'_>) -> ApiResult<Self> {
        let database = request.database.ok_or_else(|| ApiError::Invalid(NO_DATABASE.to_owned()))?;
        let parameter = |(name, value)| (name, parameter(value));
        let question = SqlQuestion {
            text: request.q,
            parameters: request.params.into_iter().map(parameter).collect(),
            format: request.format.name(),
        };
        let session = Session {
            database: Some(database.clone()),
            policy: request.policy.clone(),
            now_ns: isolate.now_ns(),
            ..Session::default()
        };
        Ok(Self {
            database,
            policy: request.policy,
            format: request.format,
            question: Some((question, session)),
            query: None,
            delivery: Delivery::default(),
        })
    }
}

/// Makes an integer signed if possible, because few columns can be compared with unsigned values.
fn parameter(value: ParamValue) -> Parameter {
    match value {
        ParamValue::Null => Parameter::Null,
        ParamValue::Boolean(value) => Parameter::Boolean(value),
        ParamValue::Unsigned(value) => {
            i64::try_from(value).map_or(Parameter::Unsigned(value), Parameter::Integer)
        }
        ParamValue::Integer(value) => Parameter::Integer(value),
        ParamValue::Float(value) => Parameter::Float(value),
        ParamValue::String(value) => Parameter::String(value),
        ParamValue::Time(time_ns) => Parameter::Time(time_ns),
    }
}
