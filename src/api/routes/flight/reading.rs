//! Drives the handler of a statement, and makes messages of Flight of what it answers.

use prost::Message;

use super::asked::Asked;
use super::ipc_stream::{IpcMessage, IpcStream};
use super::messages::{
    Any, FlightDescriptor, FlightEndpoint, FlightInfo, Outcome, SchemaResult, Ticket,
};
use super::sql_messages::CreatedStatement;
use super::tables;
use crate::admission::{Held, QueryRoom};
use crate::api::action::Action;
use crate::api::auth::AuthError;
use crate::api::error::ApiError;
use crate::api::grpc_web;
use crate::api::http::Response;
use crate::api::isolate_state::Isolate;
use crate::api::routes::handler::{AnsweredAtOnce, Handler};
use crate::api::routes::query_sql;
use crate::api::routes::query_v3::influxql;
use crate::api::routes::query_v3::request::QueryRequest;
use crate::coordinator::error::Error;
use crate::coordinator::grants::Principal;
use crate::model::limits::FLIGHT_MESSAGE_BYTES_MAX;
use crate::protocol::call::{Call, Reply};

/// What the rows are asked for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// To be sent.
    Rows,
    /// Which columns they have, in a FlightInfo.
    Info {
        descriptor: FlightDescriptor,
        /// What asks for the rows.
        ticket: Vec<u8>,
    },
    /// The same in an answer of GetSchema.
    Schema,
    /// The same in what an action says of a prepared statement.
    Prepared {
        handle: Vec<u8>,
        /// A schema of the parameters.
        parameters: Vec<u8>,
        has_parameters: bool,
    },
}

/// How far it has come.
#[derive(Debug)]
pub(super) enum Progress {
    Calls(Vec<Call>),
    /// Some of the answer.
    Frames(Vec<u8>),
    /// The last of it.
    Complete(Vec<u8>),
    /// All of it, and the statement goes on if nobody ends it.
    Known(Vec<u8>),
}

/// A statement that is answered.
#[derive(Debug)]
pub(super) struct Reading {
    handler: Box<dyn Handler>,
    purpose: Purpose,
    stream: IpcStream,
    /// What is asked if the statement's columns alone cannot be had.
    whole: Option<QueryRequest>,
    /// Lines that become a list of tables when all of them have come.
    lines: Option<Vec<u8>>,
    /// Whether that list has the schema of each table.
    include_schema: bool,
    /// What waits for the rest of it.
    held: Option<Held>,
    /// The handler has answered with its last bytes.
    is_answered: bool,
}

impl Reading {
    /// Begins a statement.
    ///
    /// # Errors
    /// [`ApiError`] of a statement that does not parse, where that is known by now.
    pub(super) fn new(
        asked: Asked,
        purpose: Purpose,
        isolate: &Isolate<'_>,
    ) -> Result<Self, ApiError> {
        let (mut whole, mut lines) = (None, None);
        let include_schema = matches!(asked, Asked::Tables { include_schema: true, .. });
        let made = |bytes| AnsweredAtOnce::with(Response { body: bytes, ..Response::default() });
        let handler = match asked {
            Asked::Made(bytes) => made(bytes),
            Asked::Tables { question, .. } if matches!(purpose, Purpose::Rows) => {
                lines = Some(Vec::new());
                query_sql::asking(question, isolate)?
            }
            Asked::Tables { .. } => made(tables::listed(b"", include_schema)?),
            Asked::Influxql(question) => influxql::asking(question, isolate)?,
            Asked::Sql(question) => match (&purpose, of_columns(&question.q)) {
                (Purpose::Info { .. } | Purpose::Schema | Purpose::Prepared { .. }, Some(q)) => {
                    let columns = QueryRequest { q, ..question.clone() };
                    whole = Some(question);
                    query_sql::asking(columns, isolate)?
                }
                _ => query_sql::asking(question, isolate)?,
            },
        };
        let stream = IpcStream::default();
        let (held, is_answered) = (None, false);
        Ok(Self { handler, purpose, stream, whole, lines, include_schema, held, is_answered })
    }

    pub(super) fn database(&self) -> Option<&str> {
        self.handler.database()
    }

    pub(super) fn databases(&self) -> Vec<String> {
        self.handler.databases()
    }

    pub(super) fn check_statements(&mut self, caller: &Principal) -> Result<(), AuthError> {
        self.handler.check_statements(caller)
    }

    pub(super) fn room(&self) -> Option<&QueryRoom> {
        self.handler.room()
    }

    pub(super) fn abandon(&mut self) -> Vec<Call> {
        self.handler.abandon()
    }

    /// Goes on until something has to be done.
    ///
    /// # Errors
    /// [`ApiError`] of the statement: nothing follows.
    pub(super) fn step(
        &mut self,
        isolate: &mut Isolate<'_>,
        mut reply: Option<Reply>,
        caller: &Principal,
    ) -> Result<Progress, ApiError> {
        loop {
            let action = match self.handler.step(isolate, reply.take()) {
                // A statement without columns of its own, such as EXPLAIN, or a wrong one: then
                // its own error is the answer.
                Err(ApiError::Invalid(_)) if self.whole.is_some() => {
                    self.ask_whole(isolate, caller)?;
                    continue;
                }
                // What types its parameters have may have to be known for that: it can be prepared.
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
                    return Err(ApiError::Internal("the body was read before".to_owned()));
                }
            };
            self.take(bytes)?;
            if let Some(progress) = self.progress()? {
                return Ok(progress);
            }
        }
    }

    /// Asks for the statement itself, of which its first message is enough.
    fn ask_whole(&mut self, isolate: &Isolate<'_>, caller: &Principal) -> Result<(), ApiError> {
        let Some(question) = self.whole.take() else { return Ok(()) };
        self.handler = query_sql::asking(question, isolate)?;
        self.handler.check_statements(caller)?;
        Ok(())
    }

    fn has_open_parameters(&self) -> bool {
        matches!(self.purpose, Purpose::Prepared { has_parameters: true, .. })
    }

    /// Takes what the handler answers.
    fn take(&mut self, mut bytes: Vec<u8>) -> Result<(), ApiError> {
        let Some(lines) = &mut self.lines else {
            self.stream.take(bytes);
            return Ok(());
        };
        lines.append(&mut bytes);
        if lines.len() > FLIGHT_MESSAGE_BYTES_MAX {
            let text = "these tables and their columns are too many for one list: ask for \
                        fewer tables by a pattern";
            return Err(ApiError::TooHeavy(text.to_owned()));
        }
        if self.is_answered {
            self.stream.take(tables::listed(lines, self.include_schema)?);
        }
        Ok(())
    }

    /// What can be sent of what has come.
    fn progress(&mut self) -> Result<Option<Progress>, ApiError> {
        let messages = self.stream.messages()?;
        if self.is_answered {
            self.stream.finish()?;
        }
        if let Some(room) = self.handler.room() {
            let held_bytes = self.stream.held_bytes() + self.lines.as_ref().map_or(0, Vec::len);
            let held = self.held.get_or_insert_with(|| room.part());
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

    /// The message that says which columns there are.
    fn described(&mut self, schema: Vec<u8>) -> Result<Vec<u8>, ApiError> {
        let answer = match &mut self.purpose {
            Purpose::Info { descriptor, ticket } => {
                let ticket = Ticket { ticket: std::mem::take(ticket) };
                let info = FlightInfo {
                    schema,
                    descriptor: Some(std::mem::take(descriptor)),
                    endpoints: vec![FlightEndpoint { ticket: Some(ticket) }],
                    // Nobody has counted.
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

/// A statement with the columns of `text` and without rows, which are then not computed; `None`
/// for one that can stand in no other.
fn of_columns(text: &str) -> Option<String> {
    let text = text.trim().trim_end_matches(';').trim_end();
    let word: String = text.chars().take_while(char::is_ascii_alphabetic).collect();
    let is_rows = ["SELECT", "WITH", "VALUES"].iter().any(|of| word.eq_ignore_ascii_case(of));
    // On a line of its own, behind a remark too.
    is_rows.then(|| format!("SELECT * FROM (\n{text}\n) LIMIT 0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_makes_rows_stands_in_another_statement() {
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
