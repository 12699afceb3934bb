//! Regular expressions as the AST keeps them: Go's source text, known to be valid.
//!
//! Go's and Rust's syntax differ in what is refused, in `\d \s \w \b` (ASCII only in Go) and in
//! words of the errors, so Go's is parsed here and translated: [`Regex::to_rust`].

mod class;
mod escape;
mod syntax;

use std::fmt;

use crate::model::limit::Exceeded;
use crate::model::limits::REGEX_COMPILED_BYTES_MAX;

pub use syntax::{InvalidSyntax, SyntaxErrorKind};

/// A regular expression in Go's syntax. It matches anywhere in the text unless anchored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Regex {
    source: String,
}

/// Why a text is not a regular expression, or not one that we run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRegex {
    /// Go's syntax is violated.
    #[error("error parsing regexp: {0}")]
    Syntax(#[from] InvalidSyntax),
    /// Longer than it may be.
    #[error("error parsing regexp: {0}")]
    TooLong(#[from] Exceeded),
    /// Would take more than [`REGEX_COMPILED_BYTES_MAX`], or nests too deeply.
    #[error(
        "error parsing regexp: it takes more than {REGEX_COMPILED_BYTES_MAX} bytes when \
        compiled: repeat and nest less"
    )]
    TooLarge,
}

impl Regex {
    /// Checks `source`.
    ///
    /// # Errors
    /// [`InvalidRegex`]; what Go refuses in Go's words.
    pub fn new(source: &str) -> Result<Self, InvalidRegex> {
        compile(&syntax::translate(source)?)?;
        Ok(Self { source: source.to_owned() })
    }

    /// Go's source text, without the slashes; `/` is not escaped.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// The same expression for Rust's `regex::bytes::Regex`: it matches the same texts. Groups do
    /// not capture and repetitions are greedy, since only whether it matches is ever asked.
    pub fn to_rust(&self) -> String {
        // The source was translated before, so the default is never taken.
        syntax::translate(&self.source).unwrap_or_default()
    }

    /// Compiles the expression.
    ///
    /// # Errors
    /// [`InvalidRegex::TooLarge`]; not for one that [`Regex::new`] took.
    pub fn compile(&self) -> Result<regex::bytes::Regex, InvalidRegex> {
        compile(&self.to_rust())
    }
}

/// Compiles what [`Regex::to_rust`] made, within [`REGEX_COMPILED_BYTES_MAX`].
fn compile(rust: &str) -> Result<regex::bytes::Regex, InvalidRegex> {
    regex::bytes::RegexBuilder::new(rust)
        .size_limit(REGEX_COMPILED_BYTES_MAX)
        .build()
        .map_err(|_| InvalidRegex::TooLarge)
}

impl fmt::Display for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.source.replace('/', "\\/"))
    }
}

#[cfg(test)]
mod tests;
