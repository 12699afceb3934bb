//! Runs a statement, and converts the messages of its Arrow IPC stream into Flight messages,
//! without decoding values.

use prost::Message;

use super::flight_request::FlightRequest;
use super::listings::TableList;
use super::messages::{
    Any, BytesValue, CreatedStatement, FlightData, FlightDescriptor, FlightEndpoint, FlightInfo,
};
use crate::action::Action;
use crate::error::{ApiError, ApiResult};
use crate::grpc_web::{self, Code, Form};
use crate::request::Actions;
use crate::routes::flight::authorise_without_database;
use crate::routes::handler::{Delivery, Request};
use crate::routes::query_v3::{QueryRequest, influxql, sql};
use tidemark_coordinator::error::Error;
use tidemark_model::limits::FLIGHT_MESSAGE_BYTES_MAX;
use tidemark_query::admission::BufferMemory;

/// The part of the result that the client requests.
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
        /// The schema of the parameters. Until the SQL Worker describes them, all are text.
        parameters: Vec<u8>,
        /// Whether the next message is the schema of the parameters.
        awaits_parameters: bool,
    },
}

/// The response to a call that reads rows or columns.
pub(super) struct Reading<'a> {
    request: &'a Request,
    form: Form,
    purpose: Purpose,
    delivery: Delivery,
    stream: IpcStream,
    /// The tables received so far, if the response is a list of tables.
    tables: Option<TableList>,
    memory: Option<BufferMemory>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(request: &'a Request, form: Form, purpose: Purpose) -> Self {
        let delivery = Delivery::new(request, form.content_type);
        let stream = IpcStream::default();
        Self { request, form, purpose, delivery, stream, tables: None, memory: None }
    }

    /// Runs the statement, and sends its messages.
    pub(super) async fn run(mut self, flight_request: FlightRequest) -> ApiResult<Action> {
        let is_rows = matches!(self.purpose, Purpose::Rows);
        let mut frames = match flight_request {
            FlightRequest::Made(bytes) => self.respond_with(bytes).await?,
            FlightRequest::Tables { query, include_schema } if is_rows => {
                self.request.log_database(&query.database);
                self.tables = Some(TableList::new(include_schema));
                self.read(self.request.nested(|request| sql::respond(request, query))).await?
            }
            FlightRequest::Tables { include_schema, .. } => {
                self.respond_with(TableList::new(include_schema).finish()?).await?
            }
            FlightRequest::Influxql(query) => {
                self.request.log_database(&query.database);
                self.read(self.request.nested(|request| influxql::respond(request, query))).await?
            }
            FlightRequest::Sql(query) => {
                self.request.log_database(&query.database);
                self.run_sql(query, is_rows).await?
            }
        };
        grpc_web::end(&mut frames, Code::Ok, "");
        self.send(frames).await;
        Ok(Action::End)
    }

    /// Responds with a complete list, which reads no database.
    async fn respond_with(&mut self, bytes: Vec<u8>) -> ApiResult<Vec<u8>> {
        authorise_without_database(self.request).await?;
        self.stream.push(bytes);
        Ok(self.frames(true)?.unwrap_or_default())
    }

    async fn run_sql(&mut self, query: QueryRequest, is_rows: bool) -> ApiResult<Vec<u8>> {
        let mut result = Err(ApiError::Invalid(String::new()));
        // To read only columns, a statement without rows runs first.
        if let Some(q) = of_columns(&query.q).filter(|_| !is_rows) {
            let columns = QueryRequest { q, ..query.clone() };
            result = self.read(self.statement(columns)).await;
        }
        // The statement is invalid, or cannot be a subquery (such as EXPLAIN). Run the statement
        // itself, which reports its own error. Its first message contains the columns.
        if let Err(ApiError::Invalid(_)) = result {
            result = self.read(self.statement(query)).await;
        }
        match (&result, &self.purpose) {
            // The columns may depend on the types of unbound parameters. The statement can still be
            // prepared, but without columns.
            (Err(ApiError::Invalid(_)), Purpose::Prepared { awaits_parameters: true, .. }) => {
                self.schema_frames(Vec::new())
            }
            _ => result,
        }
    }

    /// Starts a statement for the purpose.
    fn statement(&self, query: QueryRequest) -> Actions {
        match self.purpose {
            Purpose::Prepared { awaits_parameters: true, .. } => {
                self.request.nested(|request| sql::respond_to_preparation(request, query))
            }
            _ => self.request.nested(|request| sql::respond(request, query)),
        }
    }

    /// Reads the response of a statement, and sends its messages. Returns the last frames. If the
    /// client requests only columns, the function returns as soon as the columns are known, and the
    /// statement ends.
    async fn read(&mut self, mut response: Actions) -> ApiResult<Vec<u8>> {
        loop {
            let action = self.request.io.next(&mut response).await?.unwrap_or(Ok(Action::End))?;
            let (bytes, is_complete) = match action {
                Action::Stream(response) => (response.body, false),
                Action::Bytes(bytes) => (bytes, false),
                Action::Respond(response) => (response.body, true),
                Action::End => (Vec::new(), true),
                action => {
                    self.request.perform(action).await;
                    continue;
                }
            };
            self.add_bytes(bytes, is_complete)?;
            let frames = self.frames(is_complete)?;
            let is_rows = matches!(self.purpose, Purpose::Rows);
            match frames {
                Some(frames) if is_complete || !is_rows => return Ok(frames),
                Some(frames) => self.send(frames).await,
                None if is_complete => return Ok(Vec::new()),
                None => {}
            }
        }
    }

    /// Streams every response, because Cloudflare would not convert a response with a
    /// Content-Length to gRPC.
    async fn send(&mut self, frames: Vec<u8>) {
        self.delivery.send(self.form.encode(frames)).await;
    }

    fn add_bytes(&mut self, bytes: Vec<u8>, is_complete: bool) -> ApiResult<()> {
        let Some(tables) = &mut self.tables else {
            self.stream.push(bytes);
            return Ok(());
        };
        tables.push(&bytes)?;
        if tables.bytes > FLIGHT_MESSAGE_BYTES_MAX {
            let text = "the list of tables and columns is too long: select fewer tables with a \
                        pattern";
            return Err(ApiError::TooHeavy(text.to_owned()));
        }
        if let Some(tables) = self.tables.take_if(|_| is_complete) {
            self.stream.push(tables.finish()?);
        }
        Ok(())
    }

    /// Returns the frames of the complete messages, if there are any.
    fn frames(&mut self, is_complete: bool) -> ApiResult<Option<Vec<u8>>> {
        let messages = self.stream.messages()?;
        if is_complete {
            self.stream.finish()?;
        }
        let bytes =
            self.stream.incomplete.len() + self.tables.as_ref().map_or(0, |tables| tables.bytes);
        let reservation = self.request.reservation.borrow();
        reservation.set_bytes(&mut self.memory, bytes).map_err(Error::from)?;
        drop(reservation);
        if let Purpose::Rows = self.purpose {
            let mut frames = Vec::new();
            for IpcMessage { header, body } in messages {
                let data = FlightData { descriptor: None, header, body };
                grpc_web::message(&mut frames, &data.encode_to_vec())?;
            }
            return Ok(Some(frames).filter(|frames| !frames.is_empty()));
        }
        let mut schemas = messages.iter().map(IpcMessage::encapsulated);
        if let Purpose::Prepared { parameters, awaits_parameters: awaits @ true, .. } =
            &mut self.purpose
            && let Some(described) = schemas.next()
        {
            (*parameters, *awaits) = (described, false);
        }
        schemas.next().map(|schema| self.schema_frames(schema)).transpose()
    }

    fn schema_frames(&mut self, schema: Vec<u8>) -> ApiResult<Vec<u8>> {
        let message = match &mut self.purpose {
            Purpose::Info { descriptor, ticket } => {
                let ticket = BytesValue { value: std::mem::take(ticket) };
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
                BytesValue { value: any.encode_to_vec() }.encode_to_vec()
            }
            Purpose::Rows | Purpose::Schema => BytesValue { value: schema }.encode_to_vec(),
        };
        let mut frames = Vec::new();
        grpc_web::message(&mut frames, &message)?;
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

/// The marker before the length of a message.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// The size of the marker and the header length (little endian), in bytes.
const PREFIX_BYTES: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IpcMessage {
    pub(super) header: Vec<u8>,
    pub(super) body: Vec<u8>,
}

impl IpcMessage {
    /// Returns the message in the stream format, which Flight also uses for schemas.
    pub(super) fn encapsulated(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(PREFIX_BYTES + self.header.len() + self.body.len());
        bytes.extend(CONTINUATION);
        // The length fits, since it was read from four bytes.
        bytes.extend(u32::try_from(self.header.len()).unwrap_or_default().to_le_bytes());
        bytes.extend(&self.header);
        bytes.extend(&self.body);
        bytes
    }
}

#[derive(Default)]
pub(super) struct IpcStream {
    /// The bytes of the incomplete message.
    incomplete: Vec<u8>,
    has_ended: bool,
}

impl IpcStream {
    pub(super) fn push(&mut self, mut bytes: Vec<u8>) {
        if self.incomplete.is_empty() {
            self.incomplete = bytes;
        } else {
            self.incomplete.append(&mut bytes);
        }
    }

    /// Removes and returns the complete messages. A message must not exceed the size limit of
    /// clients.
    pub(super) fn messages(&mut self) -> ApiResult<Vec<IpcMessage>> {
        let mut messages = Vec::new();
        let mut rest = self.incomplete.as_slice();
        while let Some((part, behind)) = next(rest)? {
            rest = behind;
            match part {
                Some(message) => messages.push(message),
                None => self.has_ended = true,
            }
        }
        let used = self.incomplete.len() - rest.len();
        self.incomplete.drain(..used);
        Ok(messages)
    }

    /// Refuses an incomplete stream, so that a truncated response never looks complete.
    pub(super) fn finish(&self) -> ApiResult<()> {
        if self.has_ended && self.incomplete.is_empty() {
            return Ok(());
        }
        Err(ApiError::Internal("the response ended early".to_owned()))
    }
}

/// Returns the next message, or `None` for the end of the stream, and the bytes after it. The
/// result is `None` if the message is incomplete.
fn next(bytes: &[u8]) -> ApiResult<Option<(Option<IpcMessage>, &[u8])>> {
    let broken = || ApiError::Internal("the response is not an Arrow stream".to_owned());
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
    let [a, b, c, d, length @ ..] = *prefix;
    if [a, b, c, d] != CONTINUATION {
        return Err(broken());
    }
    let header_bytes = usize::try_from(i32::from_le_bytes(length)).map_err(|_| broken())?;
    if header_bytes == 0 {
        return Ok(Some((None, rest)));
    }
    may_be_sent(header_bytes)?;
    let Some((header, rest)) = rest.split_at_checked(header_bytes) else { return Ok(None) };
    // The flatbuffers reader requires aligned memory, so the header is copied.
    let header = header.to_vec();
    let body_bytes = arrow_ipc::root_as_message(&header).map_err(|_| broken())?.bodyLength();
    let body_bytes = usize::try_from(body_bytes).map_err(|_| broken())?;
    may_be_sent(header_bytes.saturating_add(body_bytes))?;
    let Some((body, rest)) = rest.split_at_checked(body_bytes) else { return Ok(None) };
    Ok(Some((Some(IpcMessage { header, body: body.to_vec() }), rest)))
}

fn may_be_sent(bytes: usize) -> ApiResult<()> {
    if bytes <= FLIGHT_MESSAGE_BYTES_MAX {
        return Ok(());
    }
    Err(ApiError::TooHeavy(format!(
        "a batch of the result has {bytes} bytes, more than {FLIGHT_MESSAGE_BYTES_MAX}: select \
         fewer columns, or use format=arrow at /api/v3/query_sql"
    )))
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

    fn stream() -> Vec<u8> {
        use std::sync::Arc;

        use arrow_array::{Int64Array, RecordBatch, StringArray};
        let rows = |from: i64| {
            let numbers = Int64Array::from_iter_values(from..from + 100);
            let texts = StringArray::from_iter_values((0..100).map(|n| format!("text {n}")));
            let columns = [("n", Arc::new(numbers) as _), ("t", Arc::new(texts) as _)];
            RecordBatch::try_from_iter(columns).unwrap()
        };
        let mut writer =
            arrow_ipc::writer::StreamWriter::try_new(Vec::new(), &rows(0).schema()).unwrap();
        writer.write(&rows(0)).unwrap();
        writer.write(&rows(100)).unwrap();
        writer.into_inner().unwrap()
    }

    #[test]
    fn ipc_stream_parses_at_any_split() {
        let bytes = stream();
        for piece_bytes in [1, 7, 8, 9, 300, bytes.len()] {
            let (mut stream, mut messages) = (IpcStream::default(), Vec::new());
            for piece in bytes.chunks(piece_bytes) {
                assert!(stream.finish().is_err(), "it has not ended");
                stream.push(piece.to_vec());
                messages.extend(stream.messages().unwrap());
            }
            stream.finish().unwrap();
            assert_eq!(messages.len(), 3);
            let mut again: Vec<u8> = messages.iter().flat_map(IpcMessage::encapsulated).collect();
            again.extend([CONTINUATION, [0; 4]].concat());
            assert!(again == bytes, "pieces of {piece_bytes}");
        }
    }

    #[test]
    fn truncated_ipc_stream_is_incomplete() {
        let bytes = stream();
        for end in 0..bytes.len() {
            let mut stream = IpcStream::default();
            stream.push(bytes[..end].to_vec());
            stream.messages().unwrap();
            assert!(stream.finish().is_err(), "{end} of {}", bytes.len());
        }
    }

    #[test]
    fn invalid_ipc_messages_are_rejected() {
        let refused = |bytes: &[u8]| {
            let mut stream = IpcStream::default();
            stream.push(bytes.to_vec());
            stream.messages().unwrap_err()
        };
        let broken = ApiError::Internal("the response is not an Arrow stream".into());
        assert_eq!(refused(b"[{\"a\":1}]"), broken);
        assert_eq!(refused(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), broken);
        assert_eq!(refused(&[&[0xff; 4][..], &16_u32.to_le_bytes(), &[7; 16]].concat()), broken);
        let large = [&[0xff; 4][..], &0x7fff_0000_u32.to_le_bytes()].concat();
        assert_eq!(refused(&large).status(), 507);
    }
}
