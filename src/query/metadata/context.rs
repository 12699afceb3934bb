//! Describes what a SHOW statement is compiled against.

use crate::model::schema::PolicySchema;
use crate::query::source::Defaults;

/// One database as a SHOW statement sees it.
#[derive(Debug)]
pub struct MetaContext<'a> {
    /// Every policy of the database.
    pub policies: &'a [MetaPolicy<'a>],
    /// The default policy's name.
    pub default_policy: &'a str,
    /// The request's `db` and `rp`.
    pub defaults: Defaults<'a>,
    /// `now()`, nanoseconds.
    pub now_ns: i64,
}

/// One policy of the database.
#[derive(Debug)]
pub struct MetaPolicy<'a> {
    /// Its name.
    pub name: String,
    /// Its measurements.
    pub schema: &'a PolicySchema,
    /// 1.x's shard group duration, nanoseconds.
    pub group_duration_ns: i64,
}
