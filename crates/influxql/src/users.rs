//! Parses and prints `CREATE USER`, `GRANT` and `REVOKE`.

use std::fmt;

use super::clause::write_option;
use super::error::ParseError;
use super::parser::{Parser, unexpected};
use super::quote;
use super::token::{Keyword, TokenKind};

/// A password in plain text, which `Debug` and the statements print as `[REDACTED]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// `CREATE USER name WITH PASSWORD '…' [WITH ALL PRIVILEGES]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateUserStatement {
    /// The user's name.
    pub name: String,
    /// The password.
    pub password: Password,
    /// Whether `WITH ALL PRIVILEGES` is present.
    pub admin: bool,
}

impl CreateUserStatement {
    pub(super) fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        let name = p.ident()?;
        p.expect_keyword(Keyword::With)?;
        p.expect_keyword(Keyword::Password)?;
        let password = Password(p.string()?);
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

/// `GRANT … [ON db] TO user` or `REVOKE … [ON db] FROM user`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantStatement {
    /// The privilege, which is always [`Privilege::All`] without a database.
    pub privilege: Privilege,
    /// `ON`. `None` means that the user becomes or stops being an administrator.
    pub database: Option<String>,
    /// The user's name.
    pub user: String,
}

/// A user's privilege on a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Privilege {
    /// `READ`
    Read,
    /// `WRITE`
    Write,
    /// `ALL [PRIVILEGES]`
    All,
}

impl Privilege {
    /// Returns the privilege in upper case. For [`Privilege::All`], this is `ALL PRIVILEGES`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "READ",
            Self::Write => "WRITE",
            Self::All => "ALL PRIVILEGES",
        }
    }

    fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        let token = p.next();
        match token.kind {
            TokenKind::Keyword(Keyword::Read) => Ok(Self::Read),
            TokenKind::Keyword(Keyword::Write) => Ok(Self::Write),
            TokenKind::Keyword(Keyword::All) => {
                p.keyword_if(Keyword::Privileges);
                Ok(Self::All)
            }
            _ => Err(unexpected(&token, "READ, WRITE, ALL [PRIVILEGES]")),
        }
    }
}

impl GrantStatement {
    /// Parses the statement after its first keyword. `before_user` is `TO` for GRANT and `FROM` for
    /// REVOKE.
    pub(super) fn parse(p: &mut Parser<'_>, before_user: Keyword) -> Result<Self, ParseError> {
        let privilege = Privilege::parse(p)?;
        let is_all = privilege == Privilege::All;
        let token = p.next();
        let database = match token.kind {
            TokenKind::Keyword(Keyword::On) => {
                let database = p.ident()?;
                p.expect_keyword(before_user)?;
                Some(database)
            }
            TokenKind::Keyword(keyword) if keyword == before_user && is_all => None,
            _ if is_all => {
                return Err(unexpected(&token, &format!("ON, {}", before_user.as_str())));
            }
            _ => return Err(unexpected(&token, "ON")),
        };
        Ok(Self { privilege, database, user: p.ident()? })
    }

    pub(super) fn write(
        &self,
        f: &mut fmt::Formatter<'_>,
        verb: Keyword,
        before_user: Keyword,
    ) -> fmt::Result {
        write!(f, "{} {}", verb.as_str(), self.privilege.as_str())?;
        write_option(f, "ON", self.database.as_deref().map(quote::ident))?;
        write!(f, " {} {}", before_user.as_str(), quote::ident(&self.user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bound_params::Params;
    use crate::tests as check;

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
            password: Password("secret".to_owned()),
            admin: false,
        };
        assert!(!format!("{user:?}").contains("secret"));
    }

    #[test]
    fn set_password_hides_password() {
        check::prints(&[("SET PASSWORD FOR u = 'secret'", "SET PASSWORD FOR u = [REDACTED]")]);
        check::fails(&[
            ("SET PASSWORD FOR u 'p'", "found p, expected = at line 1, char 19"),
            ("SET PASSWORD FOR u = p", "found p, expected string at line 1, char 22"),
        ]);
        let set = crate::parse("SET PASSWORD FOR u = 'secret'", &Params::default()).unwrap();
        assert!(!format!("{set:?}").contains("secret"));
    }

    #[test]
    fn grants_parse_with_and_without_database() {
        check::stays(&[
            "GRANT READ ON db TO u",
            "GRANT WRITE ON \"my db\" TO \"u 1\"",
            "GRANT ALL PRIVILEGES TO u",
            "REVOKE READ ON db FROM u",
            "REVOKE ALL PRIVILEGES FROM u",
        ]);
        check::prints(&[
            ("grant all on db to u", "GRANT ALL PRIVILEGES ON db TO u"),
            ("REVOKE ALL FROM u", "REVOKE ALL PRIVILEGES FROM u"),
        ]);
        check::fails(&[
            ("GRANT x", "found x, expected READ, WRITE, ALL [PRIVILEGES] at line 1, char 7"),
            ("GRANT READ TO u", "found TO, expected ON at line 1, char 12"),
            ("GRANT ALL FROM u", "found FROM, expected ON, TO at line 1, char 11"),
            ("REVOKE ALL TO u", "found TO, expected ON, FROM at line 1, char 12"),
            ("REVOKE READ ON db TO u", "found TO, expected FROM at line 1, char 19"),
        ]);
    }
}
