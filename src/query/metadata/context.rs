//! Defines the inputs for compiling a SHOW statement.

use crate::model::schema::PolicySchema;
use crate::query::source::Defaults;

/// The database that a SHOW statement reads.
#[derive(Debug)]
pub struct MetaContext<'a> {
    /// All policies of the database.
    pub policies: &'a [MetaPolicy<'a>],
    /// The default policy's name.
    pub default_policy: &'a str,
    /// The request's `db` and `rp`.
    pub defaults: Defaults<'a>,
    /// The value of `now()`, in nanoseconds.
    pub now_ns: i64,
}

/// One policy of the database.
#[derive(Debug)]
pub struct MetaPolicy<'a> {
    /// The policy's name.
    pub name: String,
    /// The policy's measurements.
    pub schema: &'a PolicySchema,
    /// 1.x's shard group duration, in nanoseconds.
    pub group_duration_ns: i64,
}
