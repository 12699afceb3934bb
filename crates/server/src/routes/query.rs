//! Serves `/query`: runs the statements of a query in order and writes one response.
//!
//! A large or chunked response is streamed, so that its memory use does not grow with the result.
//! The status cannot change after the first byte.

use std::collections::BTreeSet;

use crate::action::Action;
use crate::auth::{self, AuthError};
use crate::error::{ApiError, ApiResult};
use crate::params::{QueryParams, WritingStatements, query_parameters};
use crate::routes::handler::{BodyBytes, Delivery, PendingRequest, Request, RequestTarget};
use crate::settings::Settings;
use tidemark_coordinator::Context;
use tidemark_coordinator::error::Error;
use tidemark_coordinator::grants::Principal;
use tidemark_coordinator::privileges::{self, RequiredPermission};
use tidemark_coordinator::session::Session;
use tidemark_coordinator::statement::{execute, read_only_warning};
use tidemark_influxql::ast::{Effect, Statement};
use tidemark_influxql::bound_params::Params;
use tidemark_model::limits::{MSGPACK_BYTES_MAX, REPLY_PIECE_BYTES, REPLY_PIECE_ROWS};
use tidemark_query::admission::BufferMemory;
use tidemark_query::result::SeriesChunk;
use tidemark_query::source::Defaults;
use tidemark_response::{Ending, Format, Options, Writer, writer};

/// Creates the request for `GET /query` and `POST /query`.
pub fn begin(_request: &Request) -> ApiResult<PendingRequest> {
    Ok(PendingRequest::stream(respond))
}

async fn respond(request: Request, _: RequestTarget, body: BodyBytes) -> ApiResult<Action> {
    let params = parameters(&request, &body)?;
    drop(body);
    request.log_database(&params.database);
    let statements = parse(&params, request.settings()?)?;
    let (database, policy) = (params.database.clone(), params.policy.clone());
    let defaults = Defaults { database: database.as_deref(), policy: policy.as_deref() };
    let check = |caller: &Principal| authorise(&statements, defaults, caller);
    request.authorise(|| databases(&statements, defaults), check).await?;
    let mut response = QueryResponse::new(&request, params)?;
    for statement in statements {
        response.run(statement).await?;
    }
    response.end().await
}

/// Parses the parameters, including those of the body.
fn parameters(request: &Request, body: &[u8]) -> ApiResult<QueryParams> {
    let (head, url) = (&request.head, &request.url);
    let (parameters, raw) = query_parameters(head, url, body)?;
    let mut params = QueryParams::parse(head, &parameters, raw.as_deref())?;
    // A GET without credentials was authenticated by the cookie of Cloudflare Access, which a
    // browser also sends if another site links to the URL. Such a request must not write.
    if params.writing == WritingStatements::Warn
        && auth::credentials(head, url, request.settings()?).is_err()
    {
        params.writing = WritingStatements::Refuse;
    }
    Ok(params)
}

/// Parses the statements. If the text has an error, no statement is executed.
pub fn parse(params: &QueryParams, settings: &Settings) -> ApiResult<Vec<Statement>> {
    let bound = Params::from_json(params.bound.as_deref().unwrap_or_default())
        .map_err(|error| ApiError::Invalid(error.to_string()))?;
    let statements = tidemark_influxql::parse_within(&params.q, &bound, settings.limits)
        .map_err(|error| ApiError::Parse(error.to_string()))?;
    if params.writing == WritingStatements::Refuse
        && let Some(writing) = statements.iter().find(|statement| Effect::new(statement).writes())
    {
        return Err(ApiError::ReadOnly(writing.to_string()));
    }
    Ok(statements)
}

/// Returns the format that the client accepts.
fn format(request: &Request, is_chunked: bool) -> Format {
    // influxdb-python always requests MessagePack, but reads chunks as JSON lines. With 1.x, this
    // client fails at the second chunk. Its Content-Type distinguishes it from other programs.
    let head = &request.head;
    let agent = head.header("user-agent").unwrap_or_default();
    let is_python = agent.starts_with("python-requests/")
        && head.header("content-type") == Some("application/json")
        && is_chunked;
    let accept = head.header("accept");
    let accept = accept.filter(|accept| !(is_python && *accept == "application/x-msgpack"));
    Format::negotiate(accept)
}

/// A piece to send, and a chunk with the index of its first unwritten row.
pub(super) type Written = (Option<Vec<u8>>, Option<(SeriesChunk, usize)>);

/// A response in progress.
struct QueryResponse<'a> {
    request: &'a Request,
    session: Session,
    statement_id: u32,
    /// Whether the results of statements that write get 1.x's warning.
    warns_of_writes: bool,
    /// Whether a statement failed. If so, the remaining statements are not executed.
    failed: bool,
    writer: Box<dyn Writer>,
    memory: Option<BufferMemory>,
    chunked: bool,
    delivery: Delivery,
}

impl<'a> QueryResponse<'a> {
    fn new(request: &'a Request, params: QueryParams) -> ApiResult<Self> {
        let chunked = params.chunk_rows.is_some();
        let format = format(request, chunked);
        let session = Session {
            default_shards: request.settings()?.default_shards,
            ..request.session(params.database, params.policy)?
        };
        session.work.add_parsing(&params.q);
        let options = Options {
            format,
            epoch: params.epoch,
            pretty: params.pretty,
            chunk_rows: params.chunk_rows,
        };
        Ok(Self {
            request,
            session,
            statement_id: 0,
            warns_of_writes: params.writing == WritingStatements::Warn,
            failed: false,
            writer: writer(options),
            memory: None,
            chunked,
            delivery: Delivery::new(request, format.content_type()),
        })
    }

    /// Runs a statement, and writes its result.
    async fn run(&mut self, statement: Statement) -> ApiResult<()> {
        self.writer.statement_begin(self.statement_id);
        self.statement_id += 1;
        if self.failed {
            self.end_statement(Ending::Failed("not executed"));
            self.flush_rest().await;
            return Ok(());
        }
        let is_warned = self.warns_of_writes && Effect::new(&statement).writes();
        let warned = is_warned.then(|| statement.clone());
        let mut rows = execute(statement, self.session.clone());
        loop {
            match self.request.io.next(&mut rows).await {
                Ok(Some(chunk)) => {
                    self.write(chunk).await?;
                    if self.failed {
                        break;
                    }
                }
                Ok(None) => {
                    let defaults = self.session.defaults();
                    let warning = warned.and_then(|statement| {
                        let with = |context: &mut Context<'_>| {
                            read_only_warning(statement, defaults, context.cache)
                        };
                        self.request.io.with(with).transpose()
                    });
                    let warning = warning.transpose()?;
                    self.end_statement(warning.as_deref().map_or(Ending::Done, Ending::Warned));
                    break;
                }
                Err(warning @ Error::NotEverywhere { .. }) => {
                    self.end_statement(Ending::Warned(&warning.to_string()));
                    break;
                }
                // No bytes were sent yet, so the response can still have an error status. Clients
                // retry after status 503, and a caller who lost a permission receives an error
                // instead of a partial result.
                Err(
                    error @ (Error::Unavailable(_)
                    | Error::PartlyApplied(_)
                    | Error::RateExceeded { .. }
                    | Error::Revoked
                    | Error::Forbidden { .. }),
                ) if !self.delivery.is_streaming() => return Err(error.into()),
                Err(error) => {
                    self.end_statement(Ending::Failed(&error.to_string()));
                    break;
                }
            }
        }
        drop(rows);
        self.flush_rest().await;
        Ok(())
    }

    /// Writes the rows of a chunk, and sends the written bytes if there are enough for a piece.
    async fn write(&mut self, chunk: SeriesChunk) -> ApiResult<()> {
        let mut unwritten = Some((chunk, 0));
        while let Some((chunk, from)) = unwritten {
            let piece;
            (piece, unwritten) = self.write_rows(chunk, from)?;
            match piece {
                Some(piece) => {
                    self.delivery.send(piece).await;
                    self.flush_rest().await;
                }
                None if unwritten.is_none() => {}
                None => self.request.io.pause(0).await,
            }
        }
        Ok(())
    }

    /// Writes the next rows. Returns the piece to send, and the chunk with the index of its first
    /// unwritten row. Ends the statement if the document would be too long.
    fn write_rows(&mut self, chunk: SeriesChunk, from: usize) -> ApiResult<Written> {
        let to = chunk.rows.min(from + REPLY_PIECE_ROWS);
        let Some(next) = self.writer.series(&chunk, from..to) else {
            let reason = format!(
                "the response exceeds the {MSGPACK_BYTES_MAX} bytes of a MessagePack document: use \
                 chunked=true, LIMIT or a shorter time range"
            );
            self.end_statement(Ending::Failed(&reason));
            return Ok((None, None));
        };
        let (mut unwritten, mut unwritten_bytes) = (None, 0);
        if next < chunk.rows {
            unwritten_bytes = chunk.bytes();
            unwritten = Some((chunk, next));
        }
        let limit = if self.chunked { 1 } else { self.delivery.piece_bytes_min() };
        // Bytes stay in the writer until they are sent. If a value cannot be encoded, the writer
        // can then still replace these bytes and return only the error, like 1.x.
        let piece = (self.writer.bytes() >= limit).then(|| self.writer.take_bytes());
        let bytes = self.writer.held_bytes() + unwritten_bytes;
        let reservation = &self.session.reservation;
        reservation.set_response_bytes(&mut self.memory, bytes).map_err(Error::from)?;
        Ok((piece, unwritten))
    }

    /// Sends whole pieces of a response that has begun.
    async fn flush_rest(&mut self) {
        while self.delivery.is_streaming() && self.writer.bytes() >= REPLY_PIECE_BYTES {
            let piece = self.writer.take_bytes();
            self.delivery.send(piece).await;
        }
    }

    fn end_statement(&mut self, ending: Ending<'_>) {
        self.writer.statement_end(ending);
        self.failed |= matches!(ending, Ending::Failed(_));
    }

    async fn end(mut self) -> ApiResult<Action> {
        self.writer.finish();
        loop {
            let bytes = self.writer.take_bytes();
            if self.writer.bytes() == 0 {
                return Ok(self.delivery.end(bytes).await);
            }
            self.delivery.send(bytes).await;
        }
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
