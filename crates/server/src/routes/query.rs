//! Serves `/query`: runs the statements of a query in order and writes one response.
//!
//! A large or chunked response is streamed, so that its memory use does not grow with the result.
//! The status cannot change after the first byte.

use std::collections::BTreeSet;
use std::vec;

use crate::action::Action;
use crate::auth::{self, AuthError};
use crate::error::{ApiError, ApiResult};
use crate::isolate_state::Isolate;
use crate::params::{QueryParams, WritingStatements, query_parameters};
use crate::routes::handler::{
    Admitted, Delivery, Incoming, PendingRequest, Responder, StartResult,
};
use crate::settings::Settings;
use tidemark_coordinator::Machine;
use tidemark_coordinator::error::Error;
use tidemark_coordinator::grants::Principal;
use tidemark_coordinator::privileges::{self, RequiredPermission};
use tidemark_coordinator::session::Session;
use tidemark_coordinator::statement::{Execution, read_only_warning};
use tidemark_engine::protocol::call::{Call, Reply, Step};
use tidemark_influxql::ast::{Effect, Statement};
use tidemark_influxql::bound_params::Params;
use tidemark_model::limits::{MSGPACK_BYTES_MAX, REPLY_PIECE_BYTES, REPLY_PIECE_ROWS};
use tidemark_query::admission::{BufferMemory, QueryReservation};
use tidemark_query::result::SeriesChunk;
use tidemark_query::source::Defaults;
use tidemark_response::{Ending, Format, Options, Writer, writer};

/// Creates the request for `GET /query` and `POST /query`.
pub fn begin(_request: &Incoming<'_>) -> ApiResult<PendingRequest> {
    Ok(PendingRequest::new(start))
}

fn start(admitted: Admitted<'_>, isolate: &mut Isolate<'_>, body: Vec<u8>) -> StartResult {
    let Incoming { head, url, .. } = admitted.request;
    let (parameters, raw) = query_parameters(head, url, &body)?;
    let mut params = QueryParams::parse(head, &parameters, raw.as_deref())?;
    // A GET without credentials was authenticated by the cookie of Cloudflare Access, which a
    // browser also sends if another site links to the URL. Such a request must not write.
    if params.writing == WritingStatements::Warn
        && auth::credentials(head, url, isolate.settings()?).is_err()
    {
        params.writing = WritingStatements::Refuse;
    }
    admitted.log_database.clone_from(&params.database);
    // influxdb-python always requests MessagePack, but reads chunks as JSON lines. With 1.x, this
    // client fails at the second chunk. Its Content-Type distinguishes it from other programs.
    let agent = head.header("user-agent").unwrap_or_default();
    let is_python = agent.starts_with("python-requests/")
        && head.header("content-type") == Some("application/json")
        && params.chunk_rows.is_some();
    let accept = head.header("accept");
    let accept = accept.filter(|accept| !(is_python && *accept == "application/x-msgpack"));
    Ok(Box::new(QueryResponder::new(params, accept, isolate.settings()?, isolate.now_ns())?))
}

/// A query in progress.
pub struct QueryResponder {
    statements: vec::IntoIter<Statement>,
    session: Session,
    current: Option<Execution>,
    statement_id: u32,
    /// Whether the results of statements that write get 1.x's warning.
    warns_of_writes: bool,
    /// The running statement, if its result gets the warning.
    warned: Option<Statement>,
    /// Whether a statement failed. If so, the remaining statements are not executed.
    failed: bool,
    writer: Box<dyn Writer>,
    /// A chunk with the index of its first unwritten row.
    unwritten: Option<(SeriesChunk, usize)>,
    memory: Option<BufferMemory>,
    chunked: bool,
    delivery: Delivery,
    finished: bool,
}

impl QueryResponder {
    /// Parses the query. If the text has an error, no statement is executed.
    pub fn new(
        params: QueryParams,
        accept: Option<&str>,
        settings: &Settings,
        now_ns: i64,
    ) -> ApiResult<Self> {
        let bound = Params::from_json(params.bound.as_deref().unwrap_or_default())
            .map_err(|error| ApiError::Invalid(error.to_string()))?;
        let statements = tidemark_influxql::parse_within(&params.q, &bound, settings.limits)
            .map_err(|error| ApiError::Parse(error.to_string()))?;
        if params.writing == WritingStatements::Refuse
            && let Some(writing) =
                statements.iter().find(|statement| Effect::new(statement).writes())
        {
            return Err(ApiError::ReadOnly(writing.to_string()));
        }
        let format = Format::negotiate(accept);
        let session = Session {
            database: params.database,
            policy: params.policy,
            now_ns,
            default_shards: settings.default_shards,
            ..Session::default()
        };
        session.work.add_parsing(&params.q);
        let options = Options {
            format,
            epoch: params.epoch,
            pretty: params.pretty,
            chunk_rows: params.chunk_rows,
        };
        Ok(Self {
            statements: statements.into_iter(),
            session,
            current: None,
            statement_id: 0,
            warns_of_writes: params.writing == WritingStatements::Warn,
            warned: None,
            failed: false,
            writer: writer(options),
            unwritten: None,
            memory: None,
            chunked: params.chunk_rows.is_some(),
            delivery: Delivery::new(format.content_type()),
            finished: false,
        })
    }

    fn write_rows(&mut self) -> ApiResult<Option<Action>> {
        let Some((chunk, from)) = self.unwritten.take() else { return Ok(None) };
        let to = chunk.rows.min(from + REPLY_PIECE_ROWS);
        let Some(next) = self.writer.series(&chunk, from..to) else {
            let reason = format!(
                "the response exceeds the {MSGPACK_BYTES_MAX} bytes of a MessagePack document: use \
                 chunked=true, LIMIT or a shorter time range"
            );
            self.end_statement(Ending::Failed(&reason));
            return Ok(None);
        };
        let mut unwritten_bytes = 0;
        if next < chunk.rows {
            unwritten_bytes = chunk.bytes();
            self.unwritten = Some((chunk, next));
        }
        let action = self.flush();
        let bytes = self.writer.held_bytes() + unwritten_bytes;
        let reservation = &self.session.reservation;
        reservation.set_response_bytes(&mut self.memory, bytes).map_err(Error::from)?;
        Ok(action)
    }

    /// Returns `false` after the last statement.
    fn next_statement(&mut self) -> bool {
        let Some(statement) = self.statements.next() else { return false };
        self.writer.statement_begin(self.statement_id);
        if self.failed {
            self.end_statement(Ending::Failed("not executed"));
        } else {
            let is_warned = self.warns_of_writes && Effect::new(&statement).writes();
            self.warned = is_warned.then(|| statement.clone());
            self.current = Some(Execution::new(statement, self.session.clone()));
        }
        true
    }

    fn end_statement(&mut self, ending: Ending<'_>) {
        self.writer.statement_end(ending);
        self.failed |= matches!(ending, Ending::Failed(_));
        self.statement_id += 1;
        self.current = None;
    }

    /// Sends the written bytes if there are enough for a piece.
    fn flush(&mut self) -> Option<Action> {
        let limit = if self.chunked { 1 } else { self.delivery.piece_bytes_min() };
        // Bytes stay in the writer until they are sent. If a value cannot be encoded, the writer
        // can then still replace these bytes and return only the error, like 1.x.
        if self.writer.bytes() < limit {
            return None;
        }
        Some(self.delivery.piece(self.writer.take_bytes()))
    }

    fn end(&mut self) -> Action {
        if !std::mem::replace(&mut self.finished, true) {
            self.writer.finish();
        }
        let bytes = self.writer.take_bytes();
        self.delivery.rest(bytes, self.writer.bytes() > 0)
    }
}

impl Responder for QueryResponder {
    fn step(&mut self, isolate: &mut Isolate<'_>, mut reply: Option<Reply>) -> ApiResult<Action> {
        let context = &mut isolate.context();
        loop {
            // If a large document was complete before the response began, the document is sent
            // piece by piece.
            if self.delivery.is_streaming() && self.writer.bytes() >= REPLY_PIECE_BYTES {
                return Ok(Action::Bytes(self.writer.take_bytes()));
            }
            if self.unwritten.is_some() {
                match self.write_rows()? {
                    Some(action) => return Ok(action),
                    None if self.unwritten.is_some() => return Ok(Action::Pause),
                    None => continue,
                }
            }
            let Some(execution) = &mut self.current else {
                if !self.next_statement() {
                    return Ok(self.end());
                }
                continue;
            };
            match execution.step(context, reply.take()) {
                Step::Calls(calls) => return Ok(Action::Calls(calls)),
                Step::Done(Ok(Some(chunk))) => self.unwritten = Some((chunk, 0)),
                Step::Done(Ok(None)) => {
                    let defaults = self.session.defaults();
                    let warning = self.warned.take().and_then(|statement| {
                        read_only_warning(statement, defaults, context.cache)
                    });
                    self.end_statement(warning.as_deref().map_or(Ending::Done, Ending::Warned));
                }
                Step::Done(Err(warning @ Error::NotEverywhere { .. })) => {
                    self.end_statement(Ending::Warned(&warning.to_string()));
                }
                // No bytes were sent yet, so the response can still have an error status. Clients
                // retry after status 503, and a caller who lost a permission receives an error
                // instead of a partial result.
                Step::Done(Err(
                    error @ (Error::Unavailable(_)
                    | Error::PartlyApplied(_)
                    | Error::RateExceeded { .. }
                    | Error::Revoked
                    | Error::Forbidden { .. }),
                )) if !self.delivery.is_streaming() => {
                    return Err(error.into());
                }
                Step::Done(Err(error)) => self.end_statement(Ending::Failed(&error.to_string())),
            }
        }
    }

    fn check_statements(&mut self, caller: &Principal) -> Result<(), AuthError> {
        authorise(self.statements.as_slice(), self.session.defaults(), caller)?;
        self.session.principal = caller.clone();
        Ok(())
    }

    fn databases(&mut self) -> Vec<String> {
        databases(self.statements.as_slice(), self.session.defaults())
    }

    fn reservation(&mut self) -> Option<&QueryReservation> {
        self.session.reservation.get()
    }

    fn abandon(&mut self) -> Vec<Call> {
        self.current.as_mut().map_or_else(Vec::new, Execution::abandon)
    }
}

/// Returns [`AuthError::Unverified`] if the Catalog must identify the caller first.
pub(super) fn authorise(
    statements: &[Statement],
    defaults: Defaults<'_>,
    principal: &Principal,
) -> Result<(), AuthError> {
    let required =
        statements.iter().map(|statement| privileges::required_permissions(statement, defaults));
    let required: Vec<Vec<RequiredPermission>> = required.collect();
    let databases = required.iter().flatten().filter_map(RequiredPermission::database).collect();
    let grants = principal.grants.sorted_on(&databases);
    for (statement, required) in statements.iter().zip(&required) {
        let missing = required.iter().find(|permission| !permission.is_satisfied(&grants));
        if principal.needs_lookup() && !privileges::databases_check_caller(statement) {
            return Err(AuthError::Unverified("no request to the Catalog was made".to_owned()));
        }
        if let Some(missing) = missing {
            return Err(AuthError::Statement {
                who: (*principal.name).to_owned(),
                statement: statement.to_string(),
                requires: missing.requires(),
            });
        }
    }
    Ok(())
}

/// Returns the databases on which the statements need a permission. The list is empty if the
/// Catalog must check one of the statements.
pub(super) fn databases(statements: &[Statement], defaults: Defaults<'_>) -> Vec<String> {
    let mut names = BTreeSet::new();
    for statement in statements {
        if !privileges::databases_check_caller(statement) {
            return Vec::new();
        }
        for permission in privileges::required_permissions(statement, defaults) {
            if let RequiredPermission::OnDatabase { database, .. } = permission {
                names.insert(database);
            }
        }
    }
    names.into_iter().collect()
}
