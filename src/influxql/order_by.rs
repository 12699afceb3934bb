//! `ORDER BY`: time only, as in 1.x.

/// `ORDER BY time [ASC|DESC]`, or `ORDER BY ASC|DESC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderBy {
    /// Whether `time` was written; changes nothing but the printing.
    pub named: bool,
    /// Latest first.
    pub descending: bool,
}
