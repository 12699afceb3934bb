//! Parses and prints `SET PASSWORD`.

use std::fmt;

use super::error::ParseError;
use super::operator::BinaryOp;
use super::parser::Parser;
use super::quote;
use super::token::TokenKind;

/// `SET PASSWORD FOR name = '…'`
#[derive(Clone, PartialEq, Eq)]
pub struct SetPasswordStatement {
    /// The user's name.
    pub name: String,
    /// The password in plain text. [`fmt::Display`] prints it as `[REDACTED]`.
    pub password: String,
}

impl fmt::Debug for SetPasswordStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetPasswordStatement").field("name", &self.name).finish_non_exhaustive()
    }
}

impl SetPasswordStatement {
    pub(super) fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        let name = p.ident()?;
        p.expect(TokenKind::Operator(BinaryOp::Eq), "=")?;
        Ok(Self { name, password: p.string()? })
    }
}

impl fmt::Display for SetPasswordStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SET PASSWORD FOR {} = [REDACTED]", quote::ident(&self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check;

    #[test]
    fn set_password_hides_password() {
        check::prints(&[("SET PASSWORD FOR u = 'secret'", "SET PASSWORD FOR u = [REDACTED]")]);
        check::fails(&[
            ("SET PASSWORD FOR u 'p'", "found p, expected = at line 1, char 19"),
            ("SET PASSWORD FOR u = p", "found p, expected string at line 1, char 22"),
        ]);
        let set = SetPasswordStatement { name: "u".to_owned(), password: "secret".to_owned() };
        assert!(!format!("{set:?}").contains("secret"));
    }
}
