//! `GRANT` and `REVOKE`.

/// `GRANT … ON db TO user`, or `REVOKE … ON db FROM user`; without `ON` all privileges of an
/// administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantStatement {
    /// What is granted or revoked; always [`Privilege::All`] without a database.
    pub privilege: Privilege,
    /// `ON`; None makes, or unmakes, an administrator.
    pub database: Option<String>,
    /// Whom.
    pub user: String,
}

/// What a user may do with a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Privilege {
    /// `READ`
    Read,
    /// `WRITE`
    Write,
    /// `ALL [PRIVILEGES]`
    All,
}
