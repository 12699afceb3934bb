//! A query's statements, one after the other, to one reply.
//!
//! A small reply is sent whole; a large or chunked one streams, so that memory stays bounded
//! whatever the result's size. The status is settled before the first byte.

use std::vec;

use super::action::Action;
use super::auth::AuthError;
use super::error::ApiError;
use super::http::{RequestHead, Response};
use super::params::QueryParams;
use super::settings::Settings;
use crate::influxql;
use crate::influxql::ast::Statement;
use crate::influxql::effect::Effect;
use crate::influxql::params::Params;
use crate::protocol::call::{Call, Reply, Step};
use crate::response::{Format, Options, Writer, csv};
use crate::route::error::Error;
use crate::route::grants::Principal;
use crate::route::privileges;
use crate::route::statement::{Execution, Session};
use crate::route::{Context, Machine};

/// A reply up to this many bytes is sent whole.
const WHOLE_REPLY_BYTES_MAX: usize = 1_000_000;
/// A streaming reply is sent in pieces of about this many bytes.
const PIECE_BYTES: usize = 256_000;

/// What a statement answers whose document cannot be held.
const TOO_LARGE: &str = "a MessagePack document holds at most 16000000 bytes: ask with chunked=true, \
                         or for fewer rows by LIMIT or a shorter time range";

/// A query in progress.
#[derive(Debug)]
pub struct Querying {
    statements: vec::IntoIter<Statement>,
    session: Session,
    current: Option<Execution>,
    /// Number of the current statement.
    statement_id: u32,
    /// A statement failed: those after it are not executed.
    failed: bool,
    writer: Writer,
    format: Format,
    chunked: bool,
    streaming: bool,
    finished: bool,
}

impl Querying {
    /// Parses the query. Nothing of a text with an error is executed.
    ///
    /// # Errors
    /// [`ApiError`] for a text that does not parse, and for a writing statement on GET.
    pub fn new(
        params: QueryParams,
        accept: Option<&str>,
        settings: &Settings,
        now_ns: i64,
    ) -> Result<Self, ApiError> {
        let bound = Params::from_json(params.bound.as_deref().unwrap_or_default())
            .map_err(|error| ApiError::Invalid(error.to_string()))?;
        let statements = influxql::parse_within(&params.q, &bound, settings.limits)
            .map_err(|error| ApiError::Parse(error.to_string()))?;
        // A link must not be able to drop a database.
        if params.read_only
            && let Some(writing) =
                statements.iter().find(|statement| Effect::new(statement).writes())
        {
            return Err(ApiError::ReadOnly(writing.to_string()));
        }
        let format = Format::negotiate(accept);
        let options = Options {
            format,
            epoch: params.epoch,
            pretty: params.pretty,
            chunk_rows: params.chunk_rows,
        };
        Ok(Self {
            statements: statements.into_iter(),
            session: Session {
                database: params.database,
                policy: params.policy,
                now_ns,
                default_shards: settings.default_shards,
                ..Session::default()
            },
            current: None,
            statement_id: 0,
            failed: false,
            writer: Writer::new(options),
            format,
            chunked: params.chunk_rows.is_some(),
            streaming: false,
            finished: false,
        })
    }

    /// Lets `principal` run every statement, or refuses the first one that it may not.
    ///
    /// # Errors
    /// [`AuthError::Statement`]
    pub fn authorise(&mut self, principal: &Principal) -> Result<(), AuthError> {
        for statement in self.statements.as_slice() {
            let needs = privileges::needs(statement, self.session.defaults());
            if let Some(missing) = needs.iter().find(|need| !need.is_met(&principal.grants)) {
                return Err(AuthError::Statement {
                    who: (*principal.name).to_owned(),
                    statement: statement.to_string(),
                    requires: missing.requires(),
                });
            }
        }
        self.session.principal = principal.clone();
        Ok(())
    }

    /// Goes on until something has to be done.
    pub(super) fn step(
        &mut self,
        context: &mut Context<'_>,
        mut reply: Option<Reply>,
    ) -> Result<Action, ApiError> {
        loop {
            // A document that was held until it was complete goes piece by piece.
            if self.streaming && self.writer.bytes() >= PIECE_BYTES {
                return Ok(Action::Bytes(self.writer.take_bytes()));
            }
            let Some(execution) = &mut self.current else {
                if !self.next_statement() {
                    return Ok(self.end());
                }
                continue;
            };
            match execution.step(context, reply.take()) {
                Step::Calls(calls) => return Ok(Action::Calls(calls)),
                Step::Done(Ok(Some(chunk))) => {
                    if !self.writer.series(&chunk) {
                        self.end_statement(Some(TOO_LARGE));
                        continue;
                    }
                    if let Some(action) = self.flush() {
                        return Ok(action);
                    }
                }
                Step::Done(Ok(None)) => self.end_statement(None),
                // Nothing was sent and nothing is known to be wrong: clients retry a 503.
                // Nor is there an answer to some of what may not be asked.
                Step::Done(Err(
                    error @ (Error::Unavailable(_)
                    | Error::PartlyApplied(_)
                    | Error::Forbidden { .. }),
                )) if !self.streaming => {
                    return Err(error.into());
                }
                Step::Done(Err(error)) => self.end_statement(Some(&error.to_string())),
            }
        }
    }

    /// Stops for a client that went away: the calls that take the query off the list.
    pub(super) fn abandon(&mut self) -> Vec<Call> {
        self.current.take().map_or_else(Vec::new, |mut execution| execution.abandon())
    }

    /// Begins the next statement; `false` when there is none left.
    fn next_statement(&mut self) -> bool {
        let Some(statement) = self.statements.next() else { return false };
        self.writer.statement_begin(self.statement_id);
        if self.failed {
            self.end_statement(Some("not executed"));
        } else {
            self.current = Some(Execution::new(statement, self.session.clone()));
        }
        true
    }

    fn end_statement(&mut self, error: Option<&str>) {
        self.writer.statement_end(error);
        self.failed |= error.is_some();
        self.statement_id += 1;
        self.current = None;
    }

    /// Sends what has gathered when it is time to.
    fn flush(&mut self) -> Option<Action> {
        let limit = match (self.chunked, self.streaming) {
            (true, _) => 1,
            (false, false) => WHOLE_REPLY_BYTES_MAX,
            (false, true) => PIECE_BYTES,
        };
        // What is not taken can still be taken back: Go fails a whole document, not its end.
        if self.writer.bytes() < limit {
            return None;
        }
        let bytes = self.writer.take_bytes();
        if std::mem::replace(&mut self.streaming, true) {
            return Some(Action::Bytes(bytes));
        }
        Some(Action::Stream(self.response(bytes)))
    }

    fn end(&mut self) -> Action {
        if !std::mem::replace(&mut self.finished, true) {
            self.writer.finish();
        }
        let bytes = self.writer.take_bytes();
        match (self.streaming, bytes.is_empty()) {
            (false, _) if self.writer.bytes() > 0 => {
                self.streaming = true;
                Action::Stream(self.response(bytes))
            }
            (false, _) => Action::Respond(self.response(bytes)),
            (true, false) => Action::Bytes(bytes),
            (true, true) => Action::End,
        }
    }

    fn response(&self, body: Vec<u8>) -> Response {
        Response { status: 200, headers: Vec::new(), body }
            .with_header("Content-Type", self.format.content_type())
    }
}

/// The formats that a client reads. influxdb-python asks for MessagePack always, and then reads
/// chunks as lines of JSON; with 1.x a second chunk is an error to it.
pub(super) fn accepted<'a>(head: &'a RequestHead, params: &QueryParams) -> Option<&'a str> {
    let agent = head.header("user-agent").unwrap_or_default();
    let is_python = agent.starts_with("python-requests/") && params.chunk_rows.is_some();
    head.header("accept").filter(|_| !is_python)
}

/// Who asks for CSV is told in CSV why a text does not parse.
pub(super) fn in_format_asked(response: &mut Response, error: &ApiError, head: &RequestHead) {
    if matches!(error, ApiError::Parse(_))
        && Format::negotiate(head.header("accept")) == Format::Csv
    {
        response.body = csv::failed(&error.to_string());
        let json = response.headers.iter_mut().find(|(name, _)| name == "Content-Type");
        json.into_iter().for_each(|(_, value)| *value = Format::Csv.content_type().to_owned());
    }
}
