//! One InfluxQL statement of any kind, from its AST to its result, piece by piece.

use super::error::Error;
use super::{Context, Machine};
use crate::influxql::ast::Statement;
use crate::protocol::call::{Reply, Step};
use crate::query::result::SeriesChunk;

/// What a statement's answer depends on beside its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// `db`; `None` when absent or empty.
    pub database: Option<String>,
    /// `rp`; `None` when absent or empty.
    pub policy: Option<String>,
    /// What `now()` is, nanoseconds; the same for all statements of a request.
    pub now_ns: i64,
    /// `DEFAULT_SHARDS`, for CREATE DATABASE.
    pub default_shards: u32,
    /// Where a database that is created should live: near the request.
    pub location: Option<String>,
}

/// A statement in progress.
///
/// `Done(Ok(Some(chunk)))` is a piece of the result: step with `None` for the next one.
/// `Done(Ok(None))` is its end. An error ends it too, possibly after pieces.
#[derive(Debug)]
pub struct Execution {
    statement: Statement,
    session: Session,
}

impl Execution {
    /// Prepares a statement.
    pub fn new(statement: Statement, session: Session) -> Self {
        Self { statement, session }
    }
}

impl Machine for Execution {
    type Answer = Result<Option<SeriesChunk>, Error>;

    fn step(&mut self, context: &mut Context<'_>, reply: Option<Reply>) -> Step<Self::Answer> {
        let _ = (context, reply, &self.statement, &self.session);
        Step::Done(Err(Error::unexpected_reply()))
    }
}
