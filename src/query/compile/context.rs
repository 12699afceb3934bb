//! Defines the inputs for compiling a SELECT.

use crate::model::configurable_limits::Limits;
use crate::model::schema::PolicySchema;
use crate::query::source::{Defaults, SourceName};

/// The policies and settings for a statement.
#[derive(Debug)]
pub struct Context<'a> {
    /// The database and policy that apply to unqualified names.
    pub defaults: Defaults<'a>,
    /// The value of `now()`, in nanoseconds.
    pub now_ns: i64,
    /// The operator's limits.
    pub limits: Limits,
    /// The policies from [`crate::query::source::sources`].
    pub policies: &'a [PolicyView<'a>],
}

/// A policy and its schema.
#[derive(Clone, Debug)]
pub struct PolicyView<'a> {
    /// The name from [`crate::query::source::sources`].
    pub name: SourceName,
    /// The policy's measurements.
    pub schema: &'a PolicySchema,
    /// The time of the oldest visible point (`Policy::oldest_kept_ns`), in nanoseconds.
    pub oldest_kept_ns: i64,
}
