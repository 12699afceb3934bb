//! `CREATE USER`.

/// `CREATE USER name WITH PASSWORD '…' [WITH ALL PRIVILEGES]`
#[derive(Clone, PartialEq, Eq)]
pub struct CreateUserStatement {
    /// The user's name.
    pub name: String,
    /// Plain text; printed as `[REDACTED]`.
    pub password: String,
    /// `WITH ALL PRIVILEGES`
    pub admin: bool,
}

impl std::fmt::Debug for CreateUserStatement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreateUserStatement")
            .field("name", &self.name)
            .field("admin", &self.admin)
            .finish_non_exhaustive()
    }
}
