//! Runs a statement, and converts its response into Flight messages.

use prost::Message;

use super::flight_request::FlightRequest;
use super::ipc_stream::{IpcMessage, IpcStream};
use super::messages::{
    Any, FlightDescriptor, FlightEndpoint, FlightInfo, Outcome, SchemaResult, Ticket,
};
use super::sql_messages::CreatedStatement;
use super::tables;
use crate::admission::HeldBytes;
use crate::api::action::Action;
use crate::api::auth::AuthError;
use crate::api::error::{ApiError, ApiResult};
use crate::api::grpc_web;
use crate::api::http::Response;
use crate::api::isolate_state::Isolate;
use crate::api::routes::handler::{ImmediateResponder, QueryResponder, Responder};
use crate::api::routes::query_sql;
use crate::api::routes::query_v3::influxql;
use crate::api::routes::query_v3::request::QueryRequest;
use crate::coordinator::error::Error;
use crate::coordinator::grants::Principal;
use crate::model::limits::FLIGHT_MESSAGE_BYTES_MAX;
use crate::protocol::call::{Call, Reply};

#[derive(Debug)]
pub(super) enum Purpose {
    Rows,
    /// Only the columns are sent, in a FlightInfo.
    Info {
        descriptor: FlightDescriptor,
        ticket: Vec<u8>,
    },
    /// Only the columns are sent, in the response to GetSchema.
    Schema,
    /// Only the columns are sent, in the response to the creation of a prepared statement.
    Prepared {
        handle: Vec<u8>,
        /// The schema of the parameters.
        parameters: Vec<u8>,
        has_parameters: bool,
    },
}

#[derive(Debug)]
pub(super) enum Progress {
    Calls(Vec<Call>),
    Frames(Vec<u8>),
    Complete(Vec<u8>),
    /// The whole response, although the statement is still running. The caller must end the
    /// statement.
    Known(Vec<u8>),
}

#[derive(Debug)]
pub(super) struct Reading {
    responder: Box<dyn Responder>,
    database: Option<String>,
    purpose: Purpose,
    stream: IpcStream,
    /// The original statement, which runs if the statement that reads only its columns fails.
    whole: Option<QueryRequest>,
    /// The lines received so far, if the response is a list of tables.
    lines: Option<Vec<u8>>,
    include_schema: bool,
    held: Option<HeldBytes>,
    /// Whether the responder has returned its last bytes.
    is_answered: bool,
}

impl Reading {
    pub(super) fn new(
        request: FlightRequest,
        purpose: Purpose,
        isolate: &Isolate<'_>,
    ) -> ApiResult<Self> {
        let (mut whole, mut lines) = (None, None);
        let include_schema = matches!(request, FlightRequest::Tables { include_schema: true, .. });
        let made =
            |bytes| ImmediateResponder::boxed(Response { body: bytes, ..Response::default() });
        let database = request.database().map(str::to_owned);
        let mut responder = match request {
            FlightRequest::Made(bytes) => made(bytes),
            FlightRequest::Tables { question, .. } if matches!(purpose, Purpose::Rows) => {
                lines = Some(Vec::new());
                query_sql::for_statement(question, isolate)?
            }
            FlightRequest::Tables { .. } => made(tables::listed(b"", include_schema)?),
            FlightRequest::Influxql(question) => influxql::for_statement(question, isolate)?,
            FlightRequest::Sql(question) => match (&purpose, of_columns(&question.q)) {
                (Purpose::Info { .. } | Purpose::Schema | Purpose::Prepared { .. }, Some(q)) => {
                    let columns = QueryRequest { q, ..question.clone() };
                    whole = Some(question);
                    query_sql::for_statement(columns, isolate)?
                }
                _ => query_sql::for_statement(question, isolate)?,
            },
        };
        // A complete list reads no database.
        let database = database.filter(|_| responder.query().is_some());
        let stream = IpcStream::default();
        let (held, is_answered) = (None, false);
        Ok(Self {
            responder,
            database,
            purpose,
            stream,
            whole,
            lines,
            include_schema,
            held,
            is_answered,
        })
    }

    pub(super) fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    pub(super) fn query(&mut self) -> Option<&mut dyn QueryResponder> {
        self.responder.query()
    }

    pub(super) fn check_statements(&mut self, caller: &Principal) -> Result<(), AuthError> {
        self.query().map_or(Ok(()), |query| query.check_statements(caller))
    }

    pub(super) fn abandon(&mut self) -> Vec<Call> {
        self.query().map_or_else(Vec::new, |query| query.abandon())
    }

    pub(super) fn step(
        &mut self,
        isolate: &mut Isolate<'_>,
        mut reply: Option<Reply>,
        caller: &Principal,
    ) -> ApiResult<Progress> {
        loop {
            let action = match self.responder.step(isolate, reply.take()) {
                // The statement is invalid, or cannot be a subquery (such as EXPLAIN). Run the
                // statement itself, which reports its own error.
                Err(ApiError::Invalid(_)) if self.whole.is_some() => {
                    self.run_statement(isolate, caller)?;
                    continue;
                }
                // The columns may depend on the types of unbound parameters. The statement can
                // still be prepared, but without columns.
                Err(ApiError::Invalid(_)) if self.has_open_parameters() => {
                    return Ok(Progress::Complete(self.described(Vec::new())?));
                }
                action => action?,
            };
            let bytes = match action {
                Action::Calls(calls) => return Ok(Progress::Calls(calls)),
                Action::Stream(response) => response.body,
                Action::Bytes(bytes) => bytes,
                Action::Respond(response) => {
                    self.is_answered = true;
                    response.body
                }
                Action::End => {
                    self.is_answered = true;
                    Vec::new()
                }
                Action::ReadBody => {
                    return Err(ApiError::Internal("the body was already read".to_owned()));
                }
            };
            self.take(bytes)?;
            if let Some(progress) = self.progress()? {
                return Ok(progress);
            }
        }
    }

    /// Runs the original statement. Its first message contains the columns.
    fn run_statement(&mut self, isolate: &Isolate<'_>, caller: &Principal) -> ApiResult<()> {
        let Some(question) = self.whole.take() else { return Ok(()) };
        self.responder = query_sql::for_statement(question, isolate)?;
        Ok(self.check_statements(caller)?)
    }

    fn has_open_parameters(&self) -> bool {
        matches!(self.purpose, Purpose::Prepared { has_parameters: true, .. })
    }

    fn take(&mut self, mut bytes: Vec<u8>) -> ApiResult<()> {
        let Some(lines) = &mut self.lines else {
            self.stream.take(bytes);
            return Ok(());
        };
        lines.append(&mut bytes);
        if lines.len() > FLIGHT_MESSAGE_BYTES_MAX {
            let text = "the list of tables and columns is too long: select fewer tables with a \
                        pattern";
            return Err(ApiError::TooHeavy(text.to_owned()));
        }
        if self.is_answered {
            self.stream.take(tables::listed(lines, self.include_schema)?);
        }
        Ok(())
    }

    fn progress(&mut self) -> ApiResult<Option<Progress>> {
        let messages = self.stream.messages()?;
        if self.is_answered {
            self.stream.finish()?;
        }
        if let Some(reservation) = self.responder.query().and_then(|query| query.reservation()) {
            let held_bytes = self.stream.held_bytes() + self.lines.as_ref().map_or(0, Vec::len);
            let held = self.held.get_or_insert_with(|| reservation.part());
            held.set(held_bytes).map_err(Error::from)?;
        }
        if let Purpose::Rows = self.purpose {
            let mut frames = Vec::new();
            for message in messages {
                message.write(&mut frames)?;
            }
            return Ok(match (self.is_answered, frames.is_empty()) {
                (true, _) => Some(Progress::Complete(frames)),
                (false, true) => None,
                (false, false) => Some(Progress::Frames(frames)),
            });
        }
        let Some(schema) = messages.first().map(IpcMessage::encapsulated) else { return Ok(None) };
        let frames = self.described(schema)?;
        Ok(Some(match self.is_answered {
            true => Progress::Complete(frames),
            false => Progress::Known(frames),
        }))
    }

    fn described(&mut self, schema: Vec<u8>) -> ApiResult<Vec<u8>> {
        let answer = match &mut self.purpose {
            Purpose::Info { descriptor, ticket } => {
                let ticket = Ticket { ticket: std::mem::take(ticket) };
                let info = FlightInfo {
                    schema,
                    descriptor: Some(std::mem::take(descriptor)),
                    endpoints: vec![FlightEndpoint { ticket: Some(ticket) }],
                    total_records: -1,
                    total_bytes: -1,
                };
                info.encode_to_vec()
            }
            Purpose::Prepared { handle, parameters, .. } => {
                let created = CreatedStatement {
                    handle: std::mem::take(handle),
                    dataset_schema: schema,
                    parameter_schema: std::mem::take(parameters),
                };
                let any = Any::of_sql("ActionCreatePreparedStatementResult", &created);
                Outcome { body: any.encode_to_vec() }.encode_to_vec()
            }
            Purpose::Rows | Purpose::Schema => SchemaResult { schema }.encode_to_vec(),
        };
        let mut frames = Vec::new();
        grpc_web::message(&mut frames, &answer)?;
        Ok(frames)
    }
}

/// Returns a statement that has the columns of `text` but no rows, or `None` if `text` cannot be a
/// subquery.
fn of_columns(text: &str) -> Option<String> {
    let text = text.trim().trim_end_matches(';').trim_end();
    let word: String = text.chars().take_while(char::is_ascii_alphabetic).collect();
    let is_rows = ["SELECT", "WITH", "VALUES"].iter().any(|of| word.eq_ignore_ascii_case(of));
    // The line breaks keep the parenthesis outside of a trailing comment.
    is_rows.then(|| format!("SELECT * FROM (\n{text}\n) LIMIT 0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_row_statements_become_subqueries() {
        let columns = |text| of_columns(text).is_some();
        assert_eq!(
            of_columns(" select 1 -- one\n;; ").as_deref(),
            Some("SELECT * FROM (\nselect 1 -- one\n) LIMIT 0")
        );
        assert!(columns("WITH a AS (SELECT 1) SELECT * FROM a") && columns("VALUES (1)"));
        for text in ["", "EXPLAIN SELECT 1", "SHOW TABLES", "DESCRIBE t", "SELECTED", "(SELECT 1)"]
        {
            assert!(!columns(text), "{text}");
        }
    }
}
