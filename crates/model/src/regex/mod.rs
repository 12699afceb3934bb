//! Matches regular expressions in the syntax of Go and InfluxQL. Go and Rust differ in syntax,
//! errors and `\d \s \w \b`, so this module parses Go's syntax and translates it to Rust's.

mod class;
mod ranges;
mod syntax;

use std::fmt;

use crate::configurable_limits::Exceeded;
use crate::limits::{REGEX_COMPILED_BYTES_MAX, REGEX_SOURCE_BYTES_MAX};

pub use syntax::{InvalidSyntax, SyntaxErrorKind};

/// A regular expression in Go's syntax, which matches anywhere in the text unless it is anchored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Regex {
    source: String,
}

/// The reason why a regular expression is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRegex {
    /// A syntax error of Go.
    #[error("error parsing regexp: {0}")]
    Syntax(#[from] InvalidSyntax),
    /// The source exceeds the configured length.
    #[error("error parsing regexp: {0}")]
    TooLong(#[from] Exceeded),
    /// The compiled regex would take more than [`REGEX_COMPILED_BYTES_MAX`], or the regex nests too
    /// deeply, or its source exceeds [`REGEX_SOURCE_BYTES_MAX`]. The last case cannot come from a
    /// query text.
    #[error(
        "error parsing regexp: the compiled expression exceeds {REGEX_COMPILED_BYTES_MAX} bytes: \
         use fewer and shorter repetitions"
    )]
    TooLarge,
}

impl Regex {
    /// Checks and copies `source`. Syntax errors have Go's wording.
    pub fn new(source: &str) -> Result<Self, InvalidRegex> {
        Pattern::new(source)?;
        Ok(Self { source: source.to_owned() })
    }

    /// Returns Go's source text without the enclosing slashes. A `/` is not escaped.
    pub fn as_str(&self) -> &str {
        &self.source
    }
}

/// A compiled regular expression that only reports whether a text matches.
#[derive(Clone, Debug)]
pub struct Pattern {
    regex: regex::Regex,
}

impl Pattern {
    /// Compiles Go's `source`, within [`REGEX_COMPILED_BYTES_MAX`], with Go's error texts.
    pub fn new(source: &str) -> Result<Self, InvalidRegex> {
        if source.len() > REGEX_SOURCE_BYTES_MAX {
            return Err(InvalidRegex::TooLarge);
        }
        let rust = syntax::translate(source)?;
        let regex = regex::RegexBuilder::new(&rust).size_limit(REGEX_COMPILED_BYTES_MAX).build();
        Ok(Self { regex: regex.map_err(|_| InvalidRegex::TooLarge)? })
    }

    /// Whether the regex matches anywhere in `text`. The time is linear in the text's length.
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
