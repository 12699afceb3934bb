//! Statements and management calls that change databases and policies.

use super::error::Error;
use super::{Context, Machine};
use crate::protocol::call::{Reply, Step};
use crate::protocol::catalog::CreateDatabase;
use crate::protocol::database::{PolicyChange, PolicySpec};

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// CREATE DATABASE, `POST /api/v3/configure/database`
    CreateDatabase(CreateDatabase),
    /// DROP DATABASE; a missing one is no error (1.x).
    DropDatabase {
        /// Which.
        name: String,
    },
    /// CREATE RETENTION POLICY
    CreatePolicy {
        /// Of which database.
        database: String,
        /// With a name.
        spec: PolicySpec,
        /// It becomes the default.
        make_default: bool,
    },
    /// ALTER RETENTION POLICY
    AlterPolicy {
        /// Of which database.
        database: String,
        /// What changes.
        spec: PolicyChange,
        /// It becomes the default.
        make_default: bool,
    },
    /// DROP RETENTION POLICY; a missing one is no error (1.x).
    DropPolicy {
        /// Of which database.
        database: String,
        /// Which.
        name: String,
    },
}

/// What a change did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// CreateDatabase, DropDatabase: there was one before.
    pub existed: bool,
}

/// A change in progress.
#[derive(Debug)]
pub struct CreateDrop {
    change: Change,
}

impl CreateDrop {
    /// Prepares a change.
    pub fn new(change: Change) -> Self {
        Self { change }
    }
}

impl Machine for CreateDrop {
    type Answer = Result<Changed, Error>;

    fn step(&mut self, context: &mut Context<'_>, reply: Option<Reply>) -> Step<Self::Answer> {
        let _ = (context, reply, &self.change);
        Step::Done(Err(Error::unexpected_reply()))
    }
}
