//! `WITH KEY …`: which tag keys a SHOW statement is about.

use super::regex::Regex;

/// What stands after `WITH KEY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagKeyFilter {
    /// `= key`
    Equal(String),
    /// `!= key`
    NotEqual(String),
    /// `=~ /…/`
    Match(Regex),
    /// `!~ /…/`
    NotMatch(Regex),
    /// `IN (key, …)`, at least one.
    In(Vec<String>),
}
