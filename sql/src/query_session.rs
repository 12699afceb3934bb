//! Implements a session of the Worker: decodes each request message and encodes the reply.

use bytes::BytesMut;
use tidemark_engine::protocol::envelope::{self, EnvelopeError};
use tidemark_engine::protocol::sql::{FromSql, PREPARED_FORMAT, QueryRequest, SessionReply, ToSql};

use crate::error::QueryError;
use crate::limits::PIECE_BYTES;
use crate::output::{Format, Rewriting, Writer};
use crate::session::{Engine, Query};

/// A session. Dropping the session cancels its query.
#[derive(Default)]
pub struct QuerySession {
    open: Option<RunningQuery>,
    rewriting: Option<Rewriting>,
}

/// A running query and its encoded result.
struct RunningQuery {
    query: Query,
    format: Format,
    /// The writer of the result. The writer exists from the step that returns the schema until the
    /// last row.
    writer: Option<Writer>,
    /// The encoded bytes that no reply has contained yet.
    written: BytesMut,
    is_cut_short: bool,
    is_done: bool,
    has_rows: bool,
}

impl QuerySession {
    /// Processes a message and returns the encoded reply. The reply may contain an error.
    pub fn turn(&mut self, engine: &Engine, message: &[u8]) -> Vec<u8> {
        let (version, reply) = match envelope::decode::<ToSql>(message) {
            Ok((version, message)) => (version, self.handle_message(engine, message)),
            Err(error) => (envelope::VERSION, Err(unreadable(&error))),
        };
        let reply = reply.unwrap_or_else(|error| {
            (self.open, self.rewriting) = (None, None);
            FromSql::Failed { status: error.status(), message: error.message }
        });
        envelope::encode_as(version, &reply)
    }

    /// Whether the last turn stopped at its work limit. After a turn that stopped at the limit, the
    /// Worker must pause before the next turn.
    pub fn is_cut_short(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.is_cut_short)
    }

    /// Whether the session has sent its complete result.
    pub fn is_over(&self) -> bool {
        let is_complete = |open: &RunningQuery| open.is_done && open.written.is_empty();
        self.rewriting.is_none() && self.open.as_ref().is_none_or(is_complete)
    }

    fn handle_message(&mut self, engine: &Engine, message: ToSql) -> Result<FromSql, QueryError> {
        let replies = match message {
            ToSql::Open(request) => {
                self.open = None;
                self.open = Some(RunningQuery::new(engine, request)?);
                Vec::new()
            }
            ToSql::Turn { replies, lengths, pages } => {
                let replies = ToSql::with_pages(replies, &lengths, &pages);
                replies.ok_or_else(|| {
                    QueryError::internal("the pages do not have the announced lengths")
                })?
            }
            ToSql::Rewrite { format, is_last, rows } => {
                return self.rewrite(&format, is_last, rows);
            }
        };
        let open = self.open.as_mut();
        open.ok_or_else(|| QueryError::internal("no session is open"))?.turn(replies)
    }

    fn rewrite(
        &mut self,
        format: &str,
        is_last: bool,
        rows: Vec<u8>,
    ) -> Result<FromSql, QueryError> {
        let mut rewriting = match self.rewriting.take() {
            Some(rewriting) => rewriting,
            None => Rewriting::new(format)?,
        };
        let mut piece = rewriting.write(rows)?;
        match is_last {
            true => piece.append(&mut rewriting.finish()?),
            false => self.rewriting = Some(rewriting),
        }
        Ok(FromSql::Turned {
            wanted: Vec::new(),
            cancelled: Vec::new(),
            has_rows: true,
            can_continue: false,
            is_done: is_last,
            work: 0,
            piece,
        })
    }
}

/// Converts a decoding error to status 503, because the two sides have different protocol versions.
fn unreadable(error: &EnvelopeError) -> QueryError {
    QueryError { status: 503, message: error.to_string() }
}

impl RunningQuery {
    fn new(engine: &Engine, request: QueryRequest) -> Result<Self, QueryError> {
        let format = match request.format.as_str() {
            PREPARED_FORMAT => Some(Format::Arrow),
            name => Format::from_name(name),
        };
        let format = format.ok_or_else(|| QueryError::internal("unknown result format"))?;
        let query = engine.open(request)?;
        Ok(Self {
            query,
            format,
            writer: None,
            written: BytesMut::new(),
            is_cut_short: false,
            is_done: false,
            has_rows: false,
        })
    }

    fn turn(&mut self, replies: Vec<SessionReply>) -> Result<FromSql, QueryError> {
        // Encoded bytes are sent before the plan continues, so a slow client slows the plan down,
        // and encoded bytes never accumulate.
        if self.is_done || self.written.len() >= PIECE_BYTES {
            self.query.deliver(replies);
            return Ok(self.reply(Vec::new(), Vec::new(), true));
        }
        let step = self.query.step(replies)?;
        let can_continue = step.can_continue;
        self.is_cut_short = step.is_cut_short;
        if let Some(parameters) = &step.parameters {
            self.written.extend_from_slice(&Writer::new(Format::Arrow, parameters)?.take());
        }
        if let Some(schema) = &step.schema {
            self.writer = Some(Writer::new(self.format, schema)?);
        }
        if let Some(writer) = &mut self.writer {
            for batch in &step.batches {
                self.has_rows |= batch.num_rows() > 0;
                writer.write(batch)?;
            }
            self.written.extend_from_slice(&writer.take());
        }
        if step.is_done {
            self.is_done = true;
            if let Some(writer) = self.writer.take() {
                self.written.extend_from_slice(&writer.finish()?);
            }
        }
        Ok(self.reply(step.wanted, step.cancelled, can_continue))
    }

    fn reply(
        &mut self,
        wanted: Vec<crate::messages::SessionRequest>,
        cancelled: Vec<u64>,
        can_continue: bool,
    ) -> FromSql {
        let piece = self.written.split_to(self.written.len().min(PIECE_BYTES)).to_vec();
        let is_done = self.is_done && self.written.is_empty();
        let can_continue = !is_done && (can_continue || self.is_done || !self.written.is_empty());
        let has_rows = self.has_rows || self.is_done;
        let work = self.query.take_work();
        FromSql::Turned { wanted, cancelled, has_rows, can_continue, is_done, work, piece }
    }
}
