//! `CREATE CONTINUOUS QUERY`.

use super::select::SelectStatement;

/// `CREATE CONTINUOUS QUERY name ON db [RESAMPLE [EVERY d] [FOR d]] BEGIN SELECT … INTO … END`
#[derive(Clone, Debug, PartialEq)]
pub struct CreateContinuousQueryStatement {
    /// The query's name.
    pub name: String,
    /// `ON`
    pub database: String,
    /// Has a target; an aggregate has a `GROUP BY time(…)`.
    pub source: Box<SelectStatement>,
    /// `RESAMPLE EVERY`, nanoseconds; 0 is absent.
    pub resample_every_ns: i64,
    /// `RESAMPLE FOR`, nanoseconds; 0 is absent.
    pub resample_for_ns: i64,
}
