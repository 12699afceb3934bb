//! Defines the context in which a statement runs.

use std::cell::RefCell;
use std::rc::Rc;

use super::grants::Principal;
use tidemark_engine::protocol::round::Request;
use tidemark_query::admission::RequestReservation;
use tidemark_query::result::ResultColumns;
use tidemark_query::source::Defaults;
use tidemark_query::work::Work;

/// Calls whose replies do not matter. All clones refer to the same list.
pub type Cleanup = Rc<RefCell<Vec<Request>>>;

/// The context of a statement.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// The parameter `db`; `None` if absent or empty.
    pub database: Option<String>,
    /// The parameter `rp`; `None` if absent or empty.
    pub policy: Option<String>,
    /// The value of `now()`, in nanoseconds. All statements of a request use one value.
    pub now_ns: i64,
    /// The setting `DEFAULT_SHARDS`, for CREATE DATABASE.
    pub default_shards: u32,
    /// The caller. The default has no permissions.
    pub principal: Principal,
    /// Whether a missing database is an error for statements for which 1.x returns an empty result.
    pub as_v3: bool,
    /// The memory reservation that all statements of the request share.
    pub reservation: RequestReservation,
    /// The columns of a SELECT's rows, which are known after the first piece or at the end.
    pub columns: Rc<RefCell<Option<ResultColumns>>>,
    /// The calls that clean up after cancelled statements. A dropped statement adds its call, and
    /// the owner of the session makes it.
    pub cleanup: Cleanup,
    /// The statement's counted work.
    pub work: Work,
}

impl Session {
    /// Returns the defaults for unqualified names.
    pub fn defaults(&self) -> Defaults<'_> {
        Defaults { database: self.database.as_deref(), policy: self.policy.as_deref() }
    }
}
