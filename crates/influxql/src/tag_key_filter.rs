//! Parses and prints `WITH KEY …`, which selects the tag keys of a SHOW statement.

use std::fmt;

use super::error::ParseError;
use super::expr::List;
use super::operator::BinaryOp;
use super::parser::{Parser, unexpected};
use super::quote;
use super::token::{Keyword, TokenKind};
use tidemark_model::regex::Regex;

/// The filter after `WITH KEY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagKeyFilter {
    /// `= key`
    Equal(String),
    /// `!= key`
    NotEqual(String),
    /// `=~ /…/`
    Match(Regex),
    /// `!~ /…/`
    NotMatch(Regex),
    /// `IN (key, …)` with at least one key.
    In(Vec<String>),
}

impl TagKeyFilter {
    pub(super) fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        p.expect_keyword(Keyword::With)?;
        p.expect_keyword(Keyword::Key)?;
        let token = p.next();
        match token.kind {
            TokenKind::Keyword(Keyword::In) => {
                p.expect(TokenKind::LeftParen, "(")?;
                let keys = p.idents()?;
                p.expect(TokenKind::RightParen, ")")?;
                Ok(Self::In(keys))
            }
            TokenKind::Operator(BinaryOp::Eq) => p.ident().map(Self::Equal),
            TokenKind::Operator(BinaryOp::Ne) => p.ident().map(Self::NotEqual),
            TokenKind::Operator(BinaryOp::EqRegex) => p.regex().map(Self::Match),
            TokenKind::Operator(BinaryOp::NeRegex) => p.regex().map(Self::NotMatch),
            _ => Err(unexpected(&token, &["IN", "=", "=~"])),
        }
    }
}

impl fmt::Display for TagKeyFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(" WITH KEY ")?;
        match self {
            Self::Equal(key) => write!(f, "= {}", quote::ident(key)),
            Self::NotEqual(key) => write!(f, "!= {}", quote::ident(key)),
            Self::Match(regex) => write!(f, "=~ {regex}"),
            Self::NotMatch(regex) => write!(f, "!~ {regex}"),
            Self::In(keys) => {
                let keys: Vec<_> = keys.iter().map(|key| quote::ident(key)).collect();
                write!(f, "IN ({})", List(&keys))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::check;

    #[test]
    fn tag_key_filters_compare_or_list() {
        check::stays(&[
            "SHOW TAG VALUES WITH KEY = host",
            "SHOW TAG VALUES WITH KEY != \"a b\"",
            "SHOW TAG VALUES WITH KEY =~ /x/",
            "SHOW TAG VALUES WITH KEY !~ /x/",
            "SHOW TAG VALUES WITH KEY IN (a, \"b c\")",
        ]);
        check::fails(&[
            ("SHOW TAG VALUES", "found EOF, expected WITH at line 1, char 17"),
            ("SHOW TAG VALUES WITH a", "found a, expected KEY at line 1, char 22"),
            ("SHOW TAG VALUES WITH KEY > a", "found >, expected IN, =, =~ at line 1, char 26"),
            ("SHOW TAG VALUES WITH KEY = 'a'", "found a, expected identifier at line 1, char 27"),
            ("SHOW TAG VALUES WITH KEY =~ a", "found a, expected regex at line 1, char 29"),
            ("SHOW TAG VALUES WITH KEY IN a", "found a, expected ( at line 1, char 29"),
            ("SHOW TAG VALUES WITH KEY IN (a b)", "found b, expected ) at line 1, char 32"),
        ]);
    }
}
