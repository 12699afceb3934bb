//! `SET PASSWORD`.

use std::fmt;

use super::error::ParseError;
use super::parser::Parser;
use super::quote;
use super::token::TokenKind;

/// `SET PASSWORD FOR name = '…'`
#[derive(Clone, PartialEq, Eq)]
pub struct SetPasswordStatement {
    /// The user's name.
    pub name: String,
    /// Plain text; printed as `[REDACTED]`.
    pub password: String,
}

impl fmt::Debug for SetPasswordStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetPasswordStatement").field("name", &self.name).finish_non_exhaustive()
    }
}

impl SetPasswordStatement {
    /// Parses what stands after `SET PASSWORD FOR`.
    pub(super) fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        let name = p.ident()?;
        p.expect(TokenKind::Eq, "=")?;
        Ok(Self { name, password: p.string()? })
    }
}

impl fmt::Display for SetPasswordStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SET PASSWORD FOR {} = [REDACTED]", quote::ident(&self.name))
    }
}
