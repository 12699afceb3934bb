//! Defines the outcome of a statement. All formats report this outcome.

/// The outcome of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending<'a> {
    /// The statement was executed.
    Done,
    /// The statement was executed, with this warning.
    Warned(&'a str),
    /// The statement failed, completely or in part.
    Failed(&'a str),
}

/// The level of a warning. Results have no messages of other levels.
pub(super) const WARNING: &str = "warning";
