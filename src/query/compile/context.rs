//! Describes what a SELECT is compiled against: policies with their schemas, the time, the limits.

use crate::model::configurable_limits::Limits;
use crate::model::schema::PolicySchema;
use crate::query::source::{Defaults, SourceName};

/// The policies that a statement reads, and the settings that hold for it.
#[derive(Debug)]
pub struct Context<'a> {
    /// What unqualified names mean.
    pub defaults: Defaults<'a>,
    /// `now()`, nanoseconds.
    pub now_ns: i64,
    /// The operator's limits.
    pub limits: Limits,
    /// The policies named by [`crate::query::source::sources`].
    pub policies: &'a [PolicyView<'a>],
}

/// A policy as the planner sees it.
#[derive(Clone, Debug)]
pub struct PolicyView<'a> {
    /// As [`crate::query::source::sources`] named it.
    pub name: SourceName,
    /// Its measurements.
    pub schema: &'a PolicySchema,
    /// Points before are not shown (`Policy::oldest_kept_ns`).
    pub oldest_kept_ns: i64,
}
