//! Regexes as the planner uses them: on names, never on rows.

use super::error::QueryError;
use crate::influxql::ast::Regex;

/// A compiled regex, unanchored.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    regex: regex::bytes::Regex,
}

impl Pattern {
    /// Compiles Go's syntax.
    ///
    /// # Errors
    /// [`QueryError::Invalid`] when it is no regex or would be too large.
    pub(crate) fn new(source: &Regex) -> Result<Self, QueryError> {
        let regex = source.compile().map_err(|error| QueryError::Invalid(error.to_string()))?;
        Ok(Self { regex })
    }

    /// Whether it matches anywhere in `text`.
    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text.as_bytes())
    }
}
