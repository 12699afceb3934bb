//! How a statement ended, as every format says it.

/// How a statement ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending<'a> {
    /// It was carried out.
    Done,
    /// It was, and there is something to be said of that.
    Warned(&'a str),
    /// It was not, or not wholly.
    Failed(&'a str),
}

/// The level of the one kind of message that there is.
pub(super) const WARNING: &str = "warning";
