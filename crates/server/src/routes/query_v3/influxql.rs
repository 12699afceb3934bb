//! Serves `/api/v3/query_influxql`: runs one InfluxQL statement and writes its rows as a table.
//!
//! The response is streamed. The status cannot change after the first byte. An error after the
//! first byte truncates the body, so that a partial response never looks complete.

use std::rc::Rc;

use serde_json::Value;

use crate::action::Action;
use crate::auth::AuthError;
use crate::error::{ApiError, ApiResult, invalid};
use crate::isolate_state::Isolate;
use crate::routes::handler::{Delivery, Responder, StartResult};
use crate::routes::query::{authorise, databases};
use crate::routes::query_v3::{QueryRequest, database_not_found};
use crate::settings::Settings;
use tidemark_coordinator::error::Error;
use tidemark_coordinator::grants::Principal;
use tidemark_coordinator::session::Session;
use tidemark_coordinator::statement::Execution;
use tidemark_coordinator::{Context, Machine, Pieces};
use tidemark_engine::protocol::call::{Address, Call, Reply, Step};
use tidemark_engine::protocol::envelope;
use tidemark_engine::protocol::sql::{FromSql, Parameter, ToSql};
use tidemark_influxql::ast::{ListOf, Statement};
use tidemark_influxql::bound_params::Params;
use tidemark_influxql::error::ParseError;
use tidemark_influxql::time_literal::format_utc;
use tidemark_model::limits::REPLY_PIECE_BYTES;
use tidemark_query::admission::{BufferMemory, QueryReservation};
use tidemark_query::error::QueryError;
use tidemark_query::result::{ResultColumn, SeriesChunk, Values};
use tidemark_response::table::{Layout, TableFormat, TableWriter};

/// InfluxDB's message.
const NO_DATABASE: &str =
    "must specify a 'db' parameter, or provide the database in the InfluxQL query";
/// InfluxDB's message.
const ONE_STATEMENT: &str = "must provide only one InfluxQl statement per query";
const PARQUET: &str = "format=parquet needs SQL, which the server does not have: run `npm run \
                       sql` once and start or deploy again (docs/SQL.md), or use arrow, csv, json, \
                       jsonl or pretty";

/// Creates the response to a statement.
pub fn for_statement(requested: QueryRequest, isolate: &Isolate<'_>) -> StartResult {
    if requested.format == TableFormat::Parquet && !isolate.platform.has_sql() {
        return Err(ApiError::NotImplemented(PARQUET.to_owned()));
    }
    Ok(Box::new(TableQuery::new(requested, isolate.settings()?, isolate.now_ns())?))
}

impl Responder for TableQuery {
    fn step(&mut self, isolate: &mut Isolate<'_>, mut reply: Option<Reply>) -> ApiResult<Action> {
        let context = &mut isolate.context();
        loop {
            if self.delivery.is_streaming() && self.ready_bytes() >= REPLY_PIECE_BYTES {
                return Ok(Action::Bytes(self.take_bytes()));
            }
            if self.unwritten.is_some() {
                match self.write_rows()? {
                    Some(action) => return Ok(action),
                    None if self.unwritten.is_some() => return Ok(Action::Pause),
                    None => continue,
                }
            }
            if let Some(statement) = self.statement.take() {
                self.execution = Some(Execution::new(statement, self.session.clone()));
            }
            let Some(execution) = &mut self.execution else {
                return self.end(context, reply);
            };
            match execution.step(context, reply.take()) {
                Step::Calls(calls) => return Ok(Action::Calls(calls)),
                Step::Done(Ok(Some(chunk))) => self.unwritten = Some((self.show.table(chunk), 0)),
                Step::Done(Ok(None)) => {
                    self.writer_for(None)?;
                    self.execution = None;
                }
                Step::Done(Err(error)) => {
                    self.execution = None;
                    return Err(match error {
                        Error::DatabaseNotFound(name) => database_not_found(&name),
                        Error::Query(QueryError::DatabaseRequired) => {
                            ApiError::Invalid(NO_DATABASE.to_owned())
                        }
                        error => error.into(),
                    });
                }
            }
        }
    }

    fn check_statements(&mut self, caller: &Principal) -> Result<(), AuthError> {
        authorise(self.statement.as_slice(), self.session.defaults(), caller)?;
        self.session.principal = caller.clone();
        Ok(())
    }

    fn databases(&mut self) -> Vec<String> {
        databases(self.statement.as_slice(), self.session.defaults())
    }

    fn reservation(&mut self) -> Option<&QueryReservation> {
        self.session.reservation.get()
    }

    fn abandon(&mut self) -> Vec<Call> {
        self.execution.as_mut().map_or_else(Vec::new, Execution::abandon)
    }
}

struct TableQuery {
    statement: Option<Statement>,
    session: Session,
    format: TableFormat,
    /// The columns to return if the result is empty.
    empty: Layout,
    show: Shape,
    execution: Option<Execution>,
    writer: Option<TableWriter>,
    /// A chunk of the result, and the index of its first unwritten row.
    unwritten: Option<(SeriesChunk, usize)>,
    memory: Option<BufferMemory>,
    /// The conversion to Parquet by the SQL Worker, after the last row.
    rewriting: Option<Pieces<Vec<u8>>>,
    delivery: Delivery,
    finished: bool,
}

impl TableQuery {
    fn new(requested: QueryRequest, settings: &Settings, now_ns: i64) -> ApiResult<Self> {
        let bound = bind(requested.params)?;
        let parsed = tidemark_influxql::parse_within(&requested.q, &bound, settings.limits);
        let parsed = parsed.or_else(|error| match error {
            ParseError::MissingParameter { name } => invalid(format!(
                "Bind parameter '${name}' was referenced in the InfluxQL statement but its value \
                 is undefined"
            )),
            error => invalid(format!("error in InfluxQL statement: parsing error: {error}")),
        })?;
        let mut statements = parsed.into_iter();
        let (Some(statement), None) = (statements.next(), statements.next()) else {
            return invalid(ONE_STATEMENT);
        };
        let show = Shape::of(&statement, requested.database.as_deref())?;
        let session = Session {
            database: requested.database,
            policy: requested.policy,
            now_ns,
            default_shards: settings.default_shards,
            as_v3: true,
            ..Session::default()
        };
        session.work.add_parsing(&requested.q);
        Ok(Self {
            empty: empty(&statement),
            show,
            statement: Some(statement),
            session,
            format: requested.format,
            execution: None,
            writer: None,
            unwritten: None,
            memory: None,
            rewriting: None,
            delivery: Delivery::new(requested.format.content_type()),
            finished: false,
        })
    }

    fn write_rows(&mut self) -> ApiResult<Option<Action>> {
        let Some((chunk, from)) = self.unwritten.take() else { return Ok(None) };
        let next = self.writer_for(Some(&chunk))?.rows(&chunk, from)?;
        let mut unwritten_bytes = 0;
        if next < chunk.rows {
            unwritten_bytes = chunk.bytes();
            self.unwritten = Some((chunk, next));
        }
        let action = self.flush();
        // Reserve memory for rows and bytes that cannot be sent yet.
        let bytes = self.writer.as_ref().map_or(0, TableWriter::held_bytes) + unwritten_bytes;
        let reservation = &self.session.reservation;
        reservation.set_response_bytes(&mut self.memory, bytes).map_err(Error::from)?;
        Ok(action)
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
                TableWriter::new(self.format, layout)?
            }
        };
        Ok(self.writer.insert(writer))
    }

    fn flush(&mut self) -> Option<Action> {
        let is_short = self.ready_bytes() < self.delivery.piece_bytes_min();
        if is_short || self.format == TableFormat::Parquet {
            return None;
        }
        let bytes = self.take_bytes();
        Some(self.delivery.piece(bytes))
    }

    fn end(&mut self, context: &mut Context<'_>, reply: Option<Reply>) -> ApiResult<Action> {
        if !std::mem::replace(&mut self.finished, true)
            && let Some(writer) = &mut self.writer
        {
            writer.finish()?;
        }
        let mut bytes = self.take_bytes();
        if self.format != TableFormat::Parquet {
            return Ok(self.delivery.rest(bytes, self.ready_bytes() > 0));
        }
        while self.ready_bytes() > 0 {
            bytes.append(&mut self.take_bytes());
        }
        let format = self.format.name();
        let rewriting = self.rewriting.get_or_insert_with(|| rewrite(format, bytes));
        self.delivery.stream(rewriting.step(context, reply))
    }

    fn ready_bytes(&self) -> usize {
        self.writer.as_ref().map_or(0, TableWriter::ready_bytes)
    }

    fn take_bytes(&mut self) -> Vec<u8> {
        self.writer.as_mut().map_or_else(Vec::new, TableWriter::take_bytes)
    }
}

/// Returns the parameters with values. Omits null parameters, because InfluxQL has no null.
fn bind(params: Vec<(String, Parameter)>) -> ApiResult<Params> {
    let json = |value| {
        Some(match value {
            Parameter::Null => return None,
            Parameter::Boolean(value) => Value::from(value),
            Parameter::Unsigned(value) => value.into(),
            Parameter::Integer(value) => value.into(),
            Parameter::Float(value) => value.into(),
            Parameter::String(text) => text.into(),
            Parameter::Time(time_ns) => format_utc(time_ns).into(),
        })
    };
    let literals = params.into_iter().filter_map(|(name, value)| Some((name, json(value)?)));
    Params::from_object(literals.collect()).map_err(|error| ApiError::Invalid(error.to_string()))
}

const DATABASES: [&str; 2] = ["iox::database", "deleted"];
const POLICIES: [&str; 3] = ["iox::database", "name", "duration"];

/// The conversion of a statement's result to the table that InfluxDB 3 returns.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Shape {
    Rows,
    Databases,
    Policies(String),
}

impl Shape {
    fn of(statement: &Statement, database: Option<&str>) -> ApiResult<Self> {
        match statement {
            Statement::Select(select) if select.into.is_some() => invalid(
                "this route does not support SELECT … INTO: send the statement with POST to \
                 /query",
            ),
            Statement::ShowDatabases => Ok(Self::Databases),
            Statement::ShowRetentionPolicies { database: named } => {
                let database = named.as_deref().or(database).unwrap_or_default();
                Ok(Self::Policies(database.to_owned()))
            }
            Statement::Select(_)
            | Statement::Explain(_)
            | Statement::ShowMeasurements(_)
            | Statement::ShowList(_)
            | Statement::ShowCardinality(_)
            | Statement::ShowQueries => Ok(Self::Rows),
            other => invalid(format!(
                "this route does not support '{other}': it supports only SELECT, EXPLAIN, and \
                 SHOW for measurements, keys, values, series, databases, retention policies and \
                 queries; send other statements with POST to /query"
            )),
        }
    }

    fn table(&self, chunk: SeriesChunk) -> SeriesChunk {
        let rows = chunk.rows;
        let (names, added) = match self {
            Self::Rows => return chunk,
            // `deleted` is always false, because a dropped database disappears immediately.
            Self::Databases => (DATABASES.as_slice(), Values::Boolean(vec![false; rows])),
            Self::Policies(database) => {
                let same = std::iter::repeat_n(database.as_str(), rows);
                (POLICIES.as_slice(), Values::String(same.collect()))
            }
        };
        let mut values: Vec<ResultColumn> =
            chunk.values.into_iter().take(names.len() - 1).collect();
        let at = if *self == Self::Databases { values.len() } else { 0 };
        values.insert(at, ResultColumn::full(added));
        let columns = names.iter().map(|name| (*name).to_owned()).collect();
        SeriesChunk { name: None, tags: Rc::from([]), columns, values, ..chunk }
    }
}

fn empty(statement: &Statement) -> Layout {
    match statement {
        Statement::ShowList(show) => match show.of {
            ListOf::TagKeys(_) => Layout::of_names(true, &["tagKey"]),
            ListOf::FieldKeys => Layout::of_names(true, &["fieldKey", "fieldType"]),
            ListOf::TagValues(_) => Layout::of_names(true, &["key", "value"]),
            ListOf::Series => Layout::of_names(false, &["key"]),
        },
        Statement::ShowMeasurements(_) => Layout::of_names(true, &["name"]),
        Statement::ShowDatabases => Layout::of_names(false, &DATABASES),
        Statement::ShowRetentionPolicies { .. } => Layout::of_names(false, &POLICIES),
        _ => Layout::of_names(false, &[]),
    }
}

/// Converts rows to a format that only the SQL Worker writes. The function sends the rows in pieces
/// as an Arrow stream, and each reply contains the converted bytes.
fn rewrite(format: &'static str, mut rows: Vec<u8>) -> Pieces<Vec<u8>> {
    Pieces::new(move |io, output| async move {
        loop {
            let rest = rows.split_off(rows.len().min(REPLY_PIECE_BYTES));
            let (format, is_last) = (format.to_owned(), rest.is_empty());
            let message = ToSql::Rewrite { format, is_last, rows };
            rows = rest;
            match envelope::decode_reply(io.call(Address::Sql, &message).await)? {
                FromSql::Turned { piece, is_done, .. } => {
                    if !piece.is_empty() {
                        output.emit(piece).await;
                    }
                    if is_done {
                        return Ok(());
                    }
                }
                FromSql::Failed { status, message } => return Err(Error::Sql { status, message }),
            }
        }
    })
}
