//! Who asks a statement, when, and what the names in it mean that say no database or policy.

use super::grants::Principal;
use crate::admission::RoomSlot;
use crate::query::source::Defaults;
use crate::query::work::Work;

/// What a statement's answer depends on beside its text.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// `db`; `None` when absent or empty.
    pub database: Option<String>,
    /// `rp`; `None` when absent or empty.
    pub policy: Option<String>,
    /// What `now()` is, nanoseconds; the same for all statements of a request.
    pub now_ns: i64,
    /// `DEFAULT_SHARDS`, for CREATE DATABASE.
    pub default_shards: u32,
    /// Who asks. The default may do nothing.
    pub principal: Principal,
    /// The statement fails where 1.x answers nothing about a database that is missing.
    pub as_v3: bool,
    /// What the statements of the request may hold.
    pub room: RoomSlot,
    /// The work of its statement.
    pub work: Work,
}

impl Session {
    /// What unqualified names mean.
    pub fn defaults(&self) -> Defaults<'_> {
        Defaults { database: self.database.as_deref(), policy: self.policy.as_deref() }
    }
}
