//! Serves `/api/v3/query_influxql`: runs one InfluxQL statement and writes its rows as a table.
//!
//! The response is streamed. The status cannot change after the first byte. An error after the
//! first byte truncates the body, so that a partial response never looks complete.

use std::rc::Rc;

use serde_json::Value;

use crate::action::Action;
use crate::error::{ApiError, ApiResult, invalid};
use crate::routes::handler::{Delivery, Request};
use crate::routes::query::{Written, authorise, databases};
use crate::routes::query_v3::{QueryRequest, database_not_found};
use crate::settings::Settings;
use tidemark_coordinator::Pieces;
use tidemark_coordinator::error::Error;
use tidemark_coordinator::grants::Principal;
use tidemark_coordinator::session::Session;
use tidemark_coordinator::statement::execute;
use tidemark_engine::protocol::call::Address;
use tidemark_engine::protocol::envelope;
use tidemark_engine::protocol::sql::{FromSql, Parameter, ToSql};
use tidemark_influxql::ast::{ListOf, Statement};
use tidemark_influxql::bound_params::Params;
use tidemark_influxql::error::ParseError;
use tidemark_influxql::time_literal::format_utc;
use tidemark_model::limits::REPLY_PIECE_BYTES;
use tidemark_query::admission::BufferMemory;
use tidemark_query::error::QueryError;
use tidemark_query::result::{ResultColumn, SeriesChunk, Values};
use tidemark_query::source::Defaults;
use tidemark_response::table::{Layout, TableFormat, TableWriter};

/// InfluxDB's message.
const NO_DATABASE: &str =
    "must specify a 'db' parameter, or provide the database in the InfluxQL query";
/// InfluxDB's message.
const ONE_STATEMENT: &str = "must provide only one InfluxQl statement per query";
const PARQUET: &str = "format=parquet needs SQL, which the server does not have: run `npm run \
                       sql` once and start or deploy again (docs/SQL.md), or use arrow, csv, json, \
                       jsonl or pretty";

/// Responds to a statement.
pub async fn respond(request: Request, query: QueryRequest) -> ApiResult<Action> {
    let has_sql = request.io.with(|context| context.platform.has_sql())?;
    if query.format == TableFormat::Parquet && !has_sql {
        return Err(ApiError::NotImplemented(PARQUET.to_owned()));
    }
    let statement = parse(&query, request.settings()?)?;
    let (database, policy) = (query.database.as_deref(), query.policy.as_deref());
    let shape = Shape::of(&statement, database)?;
    let (statements, defaults) = (std::slice::from_ref(&statement), Defaults { database, policy });
    let check = |caller: &Principal| authorise(statements, defaults, caller);
    request.authorise(|| databases(statements, defaults), check).await?;
    let session = Session {
        default_shards: request.settings()?.default_shards,
        as_v3: true,
        ..request.session(query.database.clone(), query.policy.clone())?
    };
    session.work.add_parsing(&query.q);
    let mut response = TableResponse {
        request: &request,
        empty: empty(&statement),
        rows: execute(statement, session.clone()),
        session,
        format: query.format,
        writer: None,
        memory: None,
        delivery: Delivery::new(&request, query.format.content_type()),
    };
    while let Some(chunk) =
        request.io.next(&mut response.rows).await.map_err(|error| match error {
            Error::DatabaseNotFound(name) => database_not_found(&name),
            Error::Query(QueryError::DatabaseRequired) => ApiError::Invalid(NO_DATABASE.to_owned()),
            error => error.into(),
        })?
    {
        response.write(shape.table(chunk)).await?;
    }
    response.end().await
}

fn parse(query: &QueryRequest, settings: &Settings) -> ApiResult<Statement> {
    let bound = bind(query.params.clone())?;
    let parsed = tidemark_influxql::parse_within(&query.q, &bound, settings.limits);
    let parsed = parsed.or_else(|error| match error {
        ParseError::MissingParameter { name } => invalid(format!(
            "Bind parameter '${name}' was referenced in the InfluxQL statement but its value is \
             undefined"
        )),
        error => invalid(format!("error in InfluxQL statement: parsing error: {error}")),
    })?;
    let mut statements = parsed.into_iter();
    match (statements.next(), statements.next()) {
        (Some(statement), None) => Ok(statement),
        _ => invalid(ONE_STATEMENT),
    }
}

/// A response in progress.
struct TableResponse<'a> {
    request: &'a Request,
    rows: Pieces<SeriesChunk>,
    session: Session,
    format: TableFormat,
    /// The columns to return if the result is empty.
    empty: Layout,
    writer: Option<TableWriter>,
    memory: Option<BufferMemory>,
    delivery: Delivery,
}

impl TableResponse<'_> {
    /// Writes the rows of a chunk, and sends the written bytes if there are enough for a piece.
    async fn write(&mut self, chunk: SeriesChunk) -> ApiResult<()> {
        let mut unwritten = Some((chunk, 0));
        while let Some((chunk, from)) = unwritten {
            let piece;
            (piece, unwritten) = self.write_rows(chunk, from)?;
            let Some(piece) = piece else {
                if unwritten.is_some() {
                    self.request.io.pause(0).await;
                }
                continue;
            };
            self.delivery.send(piece).await;
            while self.ready_bytes() >= REPLY_PIECE_BYTES {
                let piece = self.take_bytes();
                self.delivery.send(piece).await;
            }
        }
        Ok(())
    }

    /// Writes the next rows.
    fn write_rows(&mut self, chunk: SeriesChunk, from: usize) -> ApiResult<Written> {
        let next = self.writer_for(Some(&chunk))?.rows(&chunk, from)?;
        let (mut unwritten, mut unwritten_bytes) = (None, 0);
        if next < chunk.rows {
            unwritten_bytes = chunk.bytes();
            unwritten = Some((chunk, next));
        }
        let is_piece = self.ready_bytes() >= self.delivery.piece_bytes_min()
            && self.format != TableFormat::Parquet;
        let piece = is_piece.then(|| self.take_bytes());
        // Reserve memory for rows and bytes that cannot be sent yet.
        let bytes = self.writer.as_ref().map_or(0, TableWriter::held_bytes) + unwritten_bytes;
        let reservation = &self.session.reservation;
        reservation.set_response_bytes(&mut self.memory, bytes).map_err(Error::from)?;
        Ok((piece, unwritten))
    }

    fn writer_for(&mut self, chunk: Option<&SeriesChunk>) -> ApiResult<&mut TableWriter> {
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                let layout = match (self.session.columns.take(), chunk) {
                    (Some(columns), _) => Layout::of_select(&columns),
                    (None, Some(chunk)) => Layout::of_chunk(chunk),
                    (None, None) => self.empty.clone(),
                };
                TableWriter::new(self.format, layout)?
            }
        };
        Ok(self.writer.insert(writer))
    }

    async fn end(mut self) -> ApiResult<Action> {
        self.writer_for(None)?.finish()?;
        let mut bytes = self.take_bytes();
        while self.ready_bytes() > 0 {
            let mut more = self.take_bytes();
            match self.format {
                TableFormat::Parquet => bytes.append(&mut more),
                _ => self.delivery.send(std::mem::replace(&mut bytes, more)).await,
            }
        }
        if self.format != TableFormat::Parquet {
            return Ok(self.delivery.end(bytes).await);
        }
        let mut pieces = rewrite(self.format.name(), bytes);
        while let Some(piece) = self.request.io.next(&mut pieces).await? {
            self.delivery.send(piece).await;
        }
        Ok(Action::End)
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
