//! Regular expressions as the AST keeps them: Go's source text, known to be valid.

/// A regular expression in Go's syntax. It matches anywhere in the text unless anchored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Regex {
    source: String,
}

/// Why a text is not a regular expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRegex {
    /// Go's syntax is violated.
    #[error("error parsing regexp: {0}")]
    Syntax(String),
}

impl Regex {
    /// Checks `source`.
    ///
    /// # Errors
    /// [`InvalidRegex`], in Go's words.
    pub fn new(source: &str) -> Result<Self, InvalidRegex> {
        match regex::Regex::new(source) {
            Ok(_) => Ok(Self { source: source.to_owned() }),
            Err(error) => Err(InvalidRegex::Syntax(error.to_string())),
        }
    }

    /// Go's source text, without the slashes; `/` is not escaped.
    pub fn as_str(&self) -> &str {
        &self.source
    }
}

impl std::fmt::Display for Regex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "/{}/", self.source.replace('/', "\\/"))
    }
}
