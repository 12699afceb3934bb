//! `WITH KEY …`: which tag keys a SHOW statement is about.

use std::fmt;

use super::error::ParseError;
use super::expr::List;
use super::parser::{Parser, unexpected};
use super::quote;
use super::regex::Regex;
use super::token::{Keyword, TokenKind};

/// What stands after `WITH KEY`.
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
    /// `IN (key, …)`, at least one.
    In(Vec<String>),
}

impl TagKeyFilter {
    /// Parses `WITH KEY …`, which must come next.
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
            TokenKind::Eq => p.ident().map(Self::Equal),
            TokenKind::Ne => p.ident().map(Self::NotEqual),
            TokenKind::EqRegex => p.regex().map(Self::Match),
            TokenKind::NeRegex => p.regex().map(Self::NotMatch),
            _ => Err(unexpected(&token, &["IN", "=", "=~"])),
        }
    }
}

impl fmt::Display for TagKeyFilter {
    /// The clause with a blank before it.
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
