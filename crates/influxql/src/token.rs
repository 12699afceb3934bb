//! The tokens of InfluxQL and its keywords.

use std::borrow::Cow;

use super::error::Position;
use super::operator::BinaryOp;

pub(super) fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic()
}

pub(super) fn is_ident_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Declares [`Keyword`] with the spelling of each keyword.
macro_rules! keywords {
    ($($variant:ident $text:literal,)*) => {
        /// A reserved word. Matching ignores case, and printing uses upper case.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the name of a keyword is its spelling")]
        pub enum Keyword { $($variant,)* }

        pub(crate) const KEYWORDS: &[(&str, Keyword)] = &[$(($text, Keyword::$variant),)*];

        impl Keyword {
            /// Returns the keyword in upper case.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

keywords! {
    All "ALL", Alter "ALTER", Analyze "ANALYZE", And "AND", Any "ANY", As "AS", Asc "ASC",
    Begin "BEGIN", By "BY", Cardinality "CARDINALITY", Continuous "CONTINUOUS", Create "CREATE",
    Database "DATABASE", Databases "DATABASES", Default "DEFAULT", Delete "DELETE", Desc "DESC",
    Destinations "DESTINATIONS", Diagnostics "DIAGNOSTICS", Distinct "DISTINCT", Drop "DROP",
    Duration "DURATION", End "END", Every "EVERY", Exact "EXACT", Explain "EXPLAIN",
    False "FALSE", Field "FIELD", For "FOR", From "FROM", Grant "GRANT", Grants "GRANTS",
    Group "GROUP", Groups "GROUPS", In "IN", Inf "INF", Insert "INSERT", Into "INTO", Key "KEY",
    Keys "KEYS", Kill "KILL", Limit "LIMIT", Measurement "MEASUREMENT",
    Measurements "MEASUREMENTS", Name "NAME", Offset "OFFSET", On "ON", Or "OR", Order "ORDER",
    Password "PASSWORD", Policies "POLICIES", Policy "POLICY", Privileges "PRIVILEGES",
    Queries "QUERIES", Query "QUERY", Read "READ", Replication "REPLICATION",
    Resample "RESAMPLE", Retention "RETENTION", Revoke "REVOKE", Select "SELECT",
    Series "SERIES", Set "SET", Shard "SHARD", Shards "SHARDS", Show "SHOW", Slimit "SLIMIT",
    Soffset "SOFFSET", Stats "STATS", Subscription "SUBSCRIPTION",
    Subscriptions "SUBSCRIPTIONS", Tag "TAG", To "TO", True "TRUE", User "USER", Users "USERS",
    Values "VALUES", Where "WHERE", With "WITH", Write "WRITE",
}

impl Keyword {
    /// Returns the keyword with this spelling, ignoring case.
    pub fn lookup(text: &str) -> Option<Self> {
        let found = KEYWORDS.iter().find(|(spelling, _)| spelling.eq_ignore_ascii_case(text));
        found.map(|&(_, keyword)| keyword)
    }
}

/// The kind of a token. The names are those of 1.x.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// A character that starts no token, or a block comment without an end.
    Illegal,
    /// The end of the text.
    Eof,
    /// Spaces, tabs and newlines.
    Whitespace,
    /// `-- …` or `/* … */`
    Comment,
    /// A bare or quoted name. The text is unescaped.
    Ident,
    /// `$name`. The text begins with `$`.
    BoundParam,
    /// `1.5`
    Number,
    /// `15`
    Integer,
    /// A duration such as `15m`, or an invalid duration such as `15x`.
    Duration,
    /// `'…'`. The text is unescaped.
    String,
    /// A string or quoted name without a closing quote in its line.
    BadString,
    /// A string or quoted name with an unknown escape. The text is this escape.
    BadEscape,
    /// `/…/`. The text is the regex source in Go's syntax.
    Regex,
    /// A regex without a closing `/` in its line.
    BadRegex,
    /// An operator that is not a keyword.
    Operator(BinaryOp),
    /// `(`
    LeftParen,
    /// `)`
    RightParen,
    /// `,`
    Comma,
    /// `:`
    Colon,
    /// `::`
    DoubleColon,
    /// `;`
    Semicolon,
    /// `.`
    Dot,
    /// A reserved word.
    Keyword(Keyword),
}

impl TokenKind {
    /// Returns the name that error messages use for a token without text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Illegal => "ILLEGAL",
            Self::Eof => "EOF",
            Self::Whitespace => "WS",
            Self::Comment | Self::BoundParam | Self::Integer => "",
            Self::Ident => "IDENT",
            Self::Number => "NUMBER",
            Self::Duration => "DURATIONVAL",
            Self::String => "STRING",
            Self::BadString => "BADSTRING",
            Self::BadEscape => "BADESCAPE",
            Self::Regex => "REGEX",
            Self::BadRegex => "BADREGEX",
            Self::Operator(operator) => operator.as_str(),
            Self::LeftParen => "(",
            Self::RightParen => ")",
            Self::Comma => ",",
            Self::Colon => ":",
            Self::DoubleColon => "::",
            Self::Semicolon => ";",
            Self::Dot => ".",
            Self::Keyword(keyword) => keyword.as_str(),
        }
    }
}

/// A token with its position and text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// The kind of the token.
    pub kind: TokenKind,
    /// The start of the token. Strings and regexes start at the preceding character, as in 1.x.
    pub position: Position,
    /// The text, as [`TokenKind`] describes. Operators and keywords have an empty text.
    pub text: Cow<'a, str>,
}

impl Token<'_> {
    /// Returns the name that error messages use for this token.
    pub fn found(&self) -> String {
        if self.text.is_empty() { self.kind.as_str().to_owned() } else { self.text.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyword_lookup_ignores_case() {
        for (spelling, keyword) in KEYWORDS {
            assert_eq!(Keyword::lookup(&spelling.to_lowercase()), Some(*keyword));
            assert_eq!(keyword.as_str(), *spelling);
        }
        for name in ["", "selec", "selects", "future", "past", "a_name_longer_than_any_keyword"] {
            assert_eq!(Keyword::lookup(name), None, "{name}");
        }
    }
}
