//! Serves `/api/v3/query_influxql`: runs one InfluxQL statement and writes its rows as a table.
//!
//! The response is streamed. The status cannot change after the first byte. An error after the
//! first byte truncates the body, so that a partial response never looks complete.

use super::request::{ParamValue, QueryRequest};
use super::rewriting::Rewriting;
use super::show;
use crate::admission::{HeldBytes, QueryReservation};
use crate::api::action::Action;
use crate::api::auth::AuthError;
use crate::api::error::{ApiError, ApiResult};
use crate::api::http::Response;
use crate::api::isolate_state::Isolate;
use crate::api::routes::delivery::Delivery;
use crate::api::routes::handler::{Incoming, PendingRequest, QueryResponder, Responder};
use crate::api::routes::statements;
use crate::api::settings::Settings;
use crate::coordinator::Machine;
use crate::coordinator::error::Error;
use crate::coordinator::grants::Principal;
use crate::coordinator::statement::Execution;
use crate::coordinator::statement::Session;
use crate::influxql::ast::Statement;
use crate::influxql::bound_params::Params;
use crate::influxql::{self, error::ParseError};
use crate::model::limits::{REPLY_PIECE_BYTES, WHOLE_REPLY_BYTES_MAX};
use crate::protocol::call::{Call, Reply, Step};
use crate::query::error::QueryError;
use crate::query::result::SeriesChunk;
use crate::response::table::{Layout, TableError, TableFormat, TableWriter};

/// InfluxDB's message.
const NO_DATABASE: &str =
    "must specify a 'db' parameter, or provide the database in the InfluxQL query";
/// InfluxDB's message.
const ONE_STATEMENT: &str = "must provide only one InfluxQl statement per query";
const PARQUET: &str = "format=parquet needs SQL, which the server does not have: run `npm run \
                       sql` once and start or deploy again (docs/SQL.md), or use arrow, csv, json, \
                       jsonl or pretty";

/// Creates the request for `GET /api/v3/query_influxql` and `POST /api/v3/query_influxql`.
pub fn begin(_request: &Incoming<'_>) -> ApiResult<PendingRequest> {
    Ok(PendingRequest::new(|admitted, isolate, body| {
        let Incoming { head, url, .. } = admitted.request;
        let requested = QueryRequest::parse(head, url, &body.0)?;
        admitted.log_database.clone_from(&requested.database);
        for_statement(requested, isolate)
    }))
}

/// Creates the response to a statement.
pub fn for_statement(
    requested: QueryRequest,
    isolate: &Isolate<'_>,
) -> ApiResult<Box<dyn Responder>> {
    if requested.format == TableFormat::Parquet && !isolate.platform.has_sql() {
        return Err(ApiError::NotImplemented(PARQUET.to_owned()));
    }
    let querying = TableQuery::new(requested, isolate.settings()?, isolate.now_ns())?;
    Ok(Box::new(querying))
}

impl Responder for TableQuery {
    fn step(&mut self, isolate: &mut Isolate<'_>, mut reply: Option<Reply>) -> ApiResult<Action> {
        let context = &mut isolate.context();
        loop {
            if self.delivery.is_streaming() && self.ready_bytes() >= REPLY_PIECE_BYTES {
                return Ok(Action::Bytes(self.take_bytes()));
            }
            if let Some(statement) = self.statement.take() {
                self.execution = Some(Execution::new(statement, self.session.clone()));
            }
            let Some(execution) = &mut self.execution else { return self.end(reply) };
            match execution.step(context, reply.take()) {
                Step::Calls(calls) => return Ok(Action::Calls(calls)),
                Step::Done(Ok(Some(chunk))) => {
                    let chunk = self.show.table(chunk);
                    self.writer_for(Some(&chunk))?.rows(&chunk).map_err(unwritten)?;
                    if let Some(action) = self.flush() {
                        return Ok(action);
                    }
                    self.hold_document()?;
                }
                Step::Done(Ok(None)) => {
                    self.writer_for(None)?;
                    self.execution = None;
                }
                Step::Done(Err(error)) => {
                    self.execution = None;
                    return Err(failed(error));
                }
            }
        }
    }

    fn query(&mut self) -> Option<&mut dyn QueryResponder> {
        Some(self)
    }
}

impl QueryResponder for TableQuery {
    fn check_statements(&mut self, caller: &Principal) -> Result<(), AuthError> {
        statements::authorise(self.statement.as_slice(), self.session.defaults(), caller)?;
        self.session.principal = caller.clone();
        Ok(())
    }

    fn databases(&mut self) -> Vec<String> {
        statements::databases(self.statement.as_slice(), self.session.defaults())
    }

    fn reservation(&mut self) -> Option<&QueryReservation> {
        self.session.reservation.get()
    }

    fn abandon(&mut self) -> Vec<Call> {
        self.execution.as_mut().map_or_else(Vec::new, Execution::abandon)
    }
}

#[derive(Debug)]
struct TableQuery {
    statement: Option<Statement>,
    session: Session,
    format: TableFormat,
    /// The columns to return if the result is empty.
    empty: Layout,
    show: show::Shape,
    execution: Option<Execution>,
    writer: Option<TableWriter>,
    document: Option<HeldBytes>,
    /// The conversion to Parquet by the SQL Worker, after the last row.
    rewriting: Option<Rewriting>,
    delivery: Delivery,
    finished: bool,
}

impl TableQuery {
    fn new(requested: QueryRequest, settings: &Settings, now_ns: i64) -> ApiResult<Self> {
        let bound = bind(requested.params)?;
        let parsed =
            influxql::parse_within(&requested.q, &bound, settings.limits).map_err(unparsed)?;
        let mut statements = parsed.into_iter();
        let (Some(statement), None) = (statements.next(), statements.next()) else {
            return Err(ApiError::Invalid(ONE_STATEMENT.to_owned()));
        };
        let shape = show::Shape::of(&statement, requested.database.as_deref())?;
        let session = Session {
            database: requested.database,
            policy: requested.policy,
            now_ns,
            default_shards: settings.default_shards,
            as_v3: true,
            ..Session::default()
        };
        Ok(Self {
            empty: show::empty(&statement),
            show: shape,
            statement: Some(statement),
            session,
            format: requested.format,
            execution: None,
            writer: None,
            document: None,
            rewriting: None,
            delivery: Delivery::default(),
            finished: false,
        })
    }

    fn writer_for(&mut self, chunk: Option<&SeriesChunk>) -> ApiResult<&mut TableWriter> {
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                let selected = self.execution.as_ref().and_then(Execution::take_columns);
                let layout = match (selected, chunk) {
                    (Some(columns), _) => Layout::of_select(&columns),
                    (None, Some(chunk)) => Layout::of_chunk(chunk),
                    (None, None) => self.empty.clone(),
                };
                let format = match self.format {
                    TableFormat::Parquet => TableFormat::Arrow,
                    own => own,
                };
                TableWriter::new(format, layout).map_err(unwritten)?
            }
        };
        Ok(self.writer.insert(writer))
    }

    /// Reserves memory for written bytes that cannot be sent yet.
    fn hold_document(&mut self) -> ApiResult<()> {
        let bytes = self.writer.as_ref().map_or(0, TableWriter::held_bytes);
        let held = self.session.reservation.hold(&mut self.document, bytes);
        Ok(held.map_err(Error::from)?)
    }

    fn flush(&mut self) -> Option<Action> {
        let limit = match self.delivery.is_streaming() {
            true => REPLY_PIECE_BYTES,
            false => WHOLE_REPLY_BYTES_MAX,
        };
        if self.ready_bytes() < limit || self.format == TableFormat::Parquet {
            return None;
        }
        let (bytes, format) = (self.take_bytes(), self.format);
        Some(self.delivery.piece(bytes, |body| Response::ok(format.content_type(), body)))
    }

    fn end(&mut self, reply: Option<Reply>) -> ApiResult<Action> {
        if !std::mem::replace(&mut self.finished, true)
            && let Some(writer) = &mut self.writer
        {
            writer.finish().map_err(unwritten)?;
        }
        if self.format == TableFormat::Parquet {
            return self.rewrite(reply);
        }
        let (bytes, format) = (self.take_bytes(), self.format);
        let more = self.ready_bytes() > 0;
        Ok(self.delivery.rest(bytes, more, |body| Response::ok(format.content_type(), body)))
    }

    fn rewrite(&mut self, reply: Option<Reply>) -> ApiResult<Action> {
        let mut rows = Vec::new();
        while self.ready_bytes() > 0 {
            rows.append(&mut self.take_bytes());
        }
        let format = self.format;
        let rewriting = self.rewriting.get_or_insert_with(|| Rewriting::new(format.name(), rows));
        match rewriting.step(reply) {
            Step::Calls(calls) => Ok(Action::Calls(calls)),
            Step::Done(Ok(Some(piece))) => {
                Ok(self.delivery.piece(piece, |body| Response::ok(format.content_type(), body)))
            }
            Step::Done(Ok(None)) => Ok(Action::End),
            Step::Done(Err(error)) => Err(error.into()),
        }
    }

    fn ready_bytes(&self) -> usize {
        self.writer.as_ref().map_or(0, TableWriter::ready_bytes)
    }

    fn take_bytes(&mut self) -> Vec<u8> {
        self.writer.as_mut().map_or_else(Vec::new, TableWriter::take_bytes)
    }
}

/// InfluxQL has no null, so a null parameter has no value.
fn bind(params: Vec<(String, ParamValue)>) -> ApiResult<Params> {
    let literals = params.into_iter().filter_map(|(name, value)| Some((name, value.into_json()?)));
    Params::from_object(literals.collect()).map_err(|error| ApiError::Invalid(error.to_string()))
}

fn unparsed(error: ParseError) -> ApiError {
    ApiError::Invalid(match error {
        ParseError::MissingParameter { name } => format!(
            "Bind parameter '${name}' was referenced in the InfluxQL statement but its value is \
             undefined"
        ),
        error => format!("error in InfluxQL statement: parsing error: {error}"),
    })
}

fn unwritten(error: TableError) -> ApiError {
    ApiError::Internal(error.to_string())
}

fn failed(error: Error) -> ApiError {
    match error {
        Error::DatabaseNotFound(name) => {
            ApiError::NotFound(format!("query error: database not found: {name}"))
        }
        Error::Query(QueryError::DatabaseRequired) => ApiError::Invalid(NO_DATABASE.to_owned()),
        error => error.into(),
    }
}
