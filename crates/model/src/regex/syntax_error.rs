//! Defines the syntax errors of regexes.

/// The kinds of Go's syntax errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxErrorKind {
    /// `[b-a]`, `[[:x:]]`, `\p{x}`
    #[error("invalid character class range")]
    InvalidCharRange,
    /// `\q`
    #[error("invalid escape sequence")]
    InvalidEscape,
    /// `(?P<>)`
    #[error("invalid named capture")]
    InvalidNamedCapture,
    /// `(?=x)`
    #[error("invalid or unsupported Perl syntax")]
    InvalidPerlOp,
    /// `a**`
    #[error("invalid nested repetition operator")]
    InvalidRepeatOp,
    /// `a{1001}`
    #[error("invalid repeat count")]
    InvalidRepeatSize,
    /// `[a`
    #[error("missing closing ]")]
    MissingBracket,
    /// `(a`
    #[error("missing closing )")]
    MissingParen,
    /// `*a`
    #[error("missing argument to repetition operator")]
    MissingRepeatArgument,
    /// `a\`
    #[error("trailing backslash at end of expression")]
    TrailingBackslash,
    /// `a)`
    #[error("unexpected )")]
    UnexpectedParen,
}

/// A syntax error and the affected part of the source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: `{part}`")]
pub struct InvalidSyntax {
    /// The kind of the error.
    pub kind: SyntaxErrorKind,
    /// The source text as written.
    pub part: String,
}

pub(super) fn invalid(kind: SyntaxErrorKind, part: &str) -> InvalidSyntax {
    InvalidSyntax { kind, part: part.to_owned() }
}
