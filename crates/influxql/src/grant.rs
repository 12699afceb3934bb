//! Parses and prints `GRANT` and `REVOKE`.

use std::fmt;

use super::error::ParseError;
use super::parser::{Parser, unexpected};
use super::quote;
use super::token::{Keyword, TokenKind};

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
            _ => Err(unexpected(&token, &["READ", "WRITE", "ALL [PRIVILEGES]"])),
        }
    }
}

impl GrantStatement {
    /// `before_user` is `TO` for GRANT and `FROM` for REVOKE.
    pub(super) fn parse(p: &mut Parser<'_>, before_user: Keyword) -> Result<Self, ParseError> {
        let privilege = Privilege::parse(p)?;
        let token = p.next();
        let database = match token.kind {
            TokenKind::Keyword(Keyword::On) => {
                let database = p.ident()?;
                p.expect_keyword(before_user)?;
                Some(database)
            }
            TokenKind::Keyword(keyword) if keyword == before_user => {
                if privilege != Privilege::All {
                    return Err(unexpected(&token, &["ON"]));
                }
                None
            }
            _ if privilege == Privilege::All => {
                return Err(unexpected(&token, &["ON", before_user.as_str()]));
            }
            _ => return Err(unexpected(&token, &["ON"])),
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
        if let Some(database) = &self.database {
            write!(f, " ON {}", quote::ident(database))?;
        }
        write!(f, " {} {}", before_user.as_str(), quote::ident(&self.user))
    }
}

#[cfg(test)]
mod tests {
    use crate::check;

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
