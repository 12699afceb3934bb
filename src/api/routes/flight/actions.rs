//! Implements `DoAction` and `DoPut`: preparing and closing statements, and binding parameters.

use arrow_schema::{DataType, Field, Schema};
use prost::Message;

use super::bound_values;
use super::flight_request::{FlightRequest, Metadata, decode, no_transaction, not_known};
use super::listings::encoded;
use super::messages::{Any, FlightAction, FlightData, Outcome, QueryParam};
use super::placeholders::Placeholders;
use super::prepared::Prepared;
use super::reading::Purpose;
use super::sql_messages::{Handle, StatementQuery};
use crate::api::error::{ApiError, ApiResult};
use crate::api::routes::query_v3::request::{ParamValue, QueryRequest};
use crate::api::settings::Settings;

/// An encoded `CloseSessionResult` with the status "closed".
const CLOSED: [u8; 2] = [0x08, 0x01];

#[derive(Debug)]
pub(super) enum ActionResult {
    Done(Option<Vec<u8>>),
    Prepares(Box<Preparation>),
}

#[derive(Debug)]
pub(super) struct Preparation {
    /// The query text and the database, without parameters.
    question: QueryRequest,
}

impl Preparation {
    pub(super) fn target(&self) -> (&str, Option<&str>) {
        (self.question.database.as_deref().unwrap_or_default(), self.question.policy.as_deref())
    }

    /// Finds the placeholders of the statement. The response contains the statement's columns.
    pub(super) fn prepare(self, settings: &Settings) -> ApiResult<(FlightRequest, Purpose)> {
        let places = Placeholders::of(&self.question.q)?;
        let prepared = Prepared { query: places.text, params: Vec::new() };
        let handle = prepared.handle(settings)?;
        // The types of the parameters are unknown until a client binds values.
        let nulls = places.names.iter().map(|name| (name.clone(), ParamValue::Null)).collect();
        let question = QueryRequest { q: prepared.query, params: nulls, ..self.question };
        let field = |name: &String| Field::new(format!("${name}"), DataType::Utf8, true);
        let parameters = encoded(&Schema::new(places.names.iter().map(field).collect::<Vec<_>>()))?;
        let has_parameters = !places.names.is_empty();
        Ok((FlightRequest::Sql(question), Purpose::Prepared { handle, parameters, has_parameters }))
    }
}

pub(super) fn act(message: &[u8], metadata: &Metadata) -> ApiResult<ActionResult> {
    let FlightAction { kind, body } = decode(message)?;
    match kind.as_str() {
        "CreatePreparedStatement" => prepare(&body, metadata),
        "ClosePreparedStatement" => Ok(ActionResult::Done(None)),
        "CloseSession" => {
            let closed = Outcome { body: CLOSED.to_vec() };
            Ok(ActionResult::Done(Some(closed.encode_to_vec())))
        }
        _ => Err(ApiError::Invalid(format!(
            "the server supports the actions CreatePreparedStatement, ClosePreparedStatement and \
             CloseSession, not \"{}\"",
            kind.chars().take(100).collect::<String>()
        ))),
    }
}

fn prepare(body: &[u8], metadata: &Metadata) -> ApiResult<ActionResult> {
    let any: Any = decode(body)?;
    if any.sql_name() != Some("ActionCreatePreparedStatementRequest") {
        return Err(not_known(&any));
    }
    let StatementQuery { query, transaction } = decode(&any.value)?;
    no_transaction(transaction)?;
    if metadata.is_influxql {
        let text = "InfluxQL statements cannot be prepared: send the statement without preparation";
        return Err(ApiError::NotImplemented(text.to_owned()));
    }
    let question = metadata.sql_query(&query, Vec::new())?;
    Ok(ActionResult::Prepares(Box::new(Preparation { question })))
}

/// Binds the values of a `DoPut` to the statement of its handle. The response contains a new
/// handle.
pub(super) fn bind(messages: &[Vec<u8>], settings: &Settings) -> ApiResult<Vec<u8>> {
    let messages: Vec<FlightData> =
        messages.iter().map(|message| decode(message)).collect::<Result<_, _>>()?;
    let descriptor = messages.first().and_then(|message| message.descriptor.clone());
    let any: Any = decode(&descriptor.unwrap_or_default().command)?;
    if any.sql_name() != Some("CommandPreparedStatementQuery") {
        let text = "DoPut supports only values for a prepared query: to write points, send line \
                    protocol to /api/v3/write_lp";
        return Err(ApiError::Invalid(text.to_owned()));
    }
    let Handle { handle } = decode(&any.value)?;
    let mut prepared = Prepared::of_handle(&handle, settings)?;
    if let Some(row) = bound_values::first_row(&messages)? {
        let (names, values): (Vec<String>, Vec<_>) = row.into_iter().unzip();
        let names = Placeholders::of(&prepared.query)?.bind(&names)?;
        let param = |(name, value)| QueryParam { name, value: Some(value) };
        prepared.params = names.into_iter().zip(values).map(param).collect();
    }
    let handle = Handle { handle: prepared.handle(settings)? };
    Ok(Outcome { body: handle.encode_to_vec() }.encode_to_vec())
}
