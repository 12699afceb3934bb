//! Matches regular expressions in Go's syntax, which is InfluxQL's.
//!
//! Go's and Rust's syntax differ in what is refused, in `\d \s \w \b` (ASCII only in Go) and in
//! words of the errors, so Go's is parsed here and translated. Objects send each other the source.

mod class;
mod escape;
mod ranges;
mod syntax;
mod unicode;

use std::fmt;

use crate::model::configurable_limits::Exceeded;
use crate::model::limits::{REGEX_COMPILED_BYTES_MAX, REGEX_SOURCE_BYTES_MAX};

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
    /// Would take more than [`REGEX_COMPILED_BYTES_MAX`], or nests too deeply, or is longer than
    /// [`REGEX_SOURCE_BYTES_MAX`], which no query text may be.
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
        Pattern::new(source)?;
        Ok(Self { source: source.to_owned() })
    }

    /// Go's source text, without the slashes; `/` is not escaped.
    pub fn as_str(&self) -> &str {
        &self.source
    }
}

/// A regular expression, compiled. Only whether it matches is ever asked, so its groups do not
/// capture and its repetitions are greedy.
#[derive(Clone, Debug)]
pub struct Pattern {
    regex: regex::Regex,
}

impl Pattern {
    /// Compiles Go's `source`, within [`REGEX_COMPILED_BYTES_MAX`].
    ///
    /// # Errors
    /// [`InvalidRegex`]; what Go refuses in Go's words.
    pub fn new(source: &str) -> Result<Self, InvalidRegex> {
        if source.len() > REGEX_SOURCE_BYTES_MAX {
            return Err(InvalidRegex::TooLarge);
        }
        let rust = syntax::translate(source)?;
        let regex = regex::RegexBuilder::new(&rust).size_limit(REGEX_COMPILED_BYTES_MAX).build();
        Ok(Self { regex: regex.map_err(|_| InvalidRegex::TooLarge)? })
    }

    /// Whether it matches anywhere in `text`, in time linear in the text.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

impl fmt::Display for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.source.replace('/', "\\/"))
    }
}

#[cfg(test)]
mod tests;
