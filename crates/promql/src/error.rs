//! The errors of PromQL.

use tidemark_model::regex::InvalidRegex;

/// The reason why a query fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The query is invalid. Prometheus returns status 400 and `bad_data`.
    #[error("{0}")]
    Parse(String),
    /// The evaluation failed. Prometheus returns status 422 and `execution`.
    #[error("{0}")]
    Execution(String),
    /// The evaluation exceeds a limit. Prometheus returns status 422 and `execution`.
    #[error("{0}")]
    TooMuch(String),
}

/// Regexes of matchers fail while the query is parsed.
impl From<InvalidRegex> for Error {
    fn from(error: InvalidRegex) -> Self {
        Self::Parse(error.to_string())
    }
}
