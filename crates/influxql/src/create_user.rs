//! Parses and prints `CREATE USER`.

use std::fmt;

use super::error::ParseError;
use super::parser::Parser;
use super::quote;
use super::token::Keyword;

/// `CREATE USER name WITH PASSWORD '…' [WITH ALL PRIVILEGES]`
#[derive(Clone, PartialEq, Eq)]
pub struct CreateUserStatement {
    /// The user's name.
    pub name: String,
    /// The password in plain text. [`fmt::Display`] prints it as `[REDACTED]`.
    pub password: String,
    /// Whether `WITH ALL PRIVILEGES` is present.
    pub admin: bool,
}

impl fmt::Debug for CreateUserStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateUserStatement")
            .field("name", &self.name)
            .field("admin", &self.admin)
            .finish_non_exhaustive()
    }
}

impl CreateUserStatement {
    pub(super) fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        let name = p.ident()?;
        p.expect_keyword(Keyword::With)?;
        p.expect_keyword(Keyword::Password)?;
        let password = p.string()?;
        let admin = p.keyword_if(Keyword::With);
        if admin {
            p.expect_keyword(Keyword::All)?;
            p.expect_keyword(Keyword::Privileges)?;
        }
        Ok(Self { name, password, admin })
    }
}

impl fmt::Display for CreateUserStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let admin = if self.admin { " WITH ALL PRIVILEGES" } else { "" };
        write!(f, "CREATE USER {} WITH PASSWORD [REDACTED]{admin}", quote::ident(&self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check;

    #[test]
    fn create_user_hides_password() {
        check::prints(&[
            ("CREATE USER u WITH PASSWORD 'secret'", "CREATE USER u WITH PASSWORD [REDACTED]"),
            (
                "CREATE USER \"u 1\" WITH PASSWORD 'secret' WITH ALL PRIVILEGES",
                "CREATE USER \"u 1\" WITH PASSWORD [REDACTED] WITH ALL PRIVILEGES",
            ),
        ]);
        check::fails(&[
            ("CREATE USER u", "found EOF, expected WITH at line 1, char 15"),
            ("CREATE USER u WITH PASSWORD \"p\"", "found p, expected string at line 1, char 29"),
            (
                "CREATE USER u WITH PASSWORD 'p' WITH ALL",
                "found EOF, expected PRIVILEGES at line 1, char 42",
            ),
        ]);
        let user = CreateUserStatement {
            name: "u".to_owned(),
            password: "secret".to_owned(),
            admin: false,
        };
        assert!(!format!("{user:?}").contains("secret"));
    }
}
