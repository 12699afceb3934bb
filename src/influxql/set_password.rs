//! `SET PASSWORD`.

/// `SET PASSWORD FOR name = '…'`
#[derive(Clone, PartialEq, Eq)]
pub struct SetPasswordStatement {
    /// The user's name.
    pub name: String,
    /// Plain text; printed as `[REDACTED]`.
    pub password: String,
}

impl std::fmt::Debug for SetPasswordStatement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SetPasswordStatement").field("name", &self.name).finish_non_exhaustive()
    }
}
