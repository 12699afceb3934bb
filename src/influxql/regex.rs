//! Regular expressions as the AST keeps them: Go's source text, known to be valid.

/// A regular expression in Go's syntax. It matches anywhere in the text unless anchored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Regex {
    source: String,
}

impl Regex {
    /// Go's source text, without the slashes; `/` is not escaped.
    pub fn as_str(&self) -> &str {
        &self.source
    }
}
