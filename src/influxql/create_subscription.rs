//! `CREATE SUBSCRIPTION`.

/// `CREATE SUBSCRIPTION name ON db.policy DESTINATIONS ALL|ANY 'host' [, 'host' …]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateSubscriptionStatement {
    /// The subscription's name.
    pub name: String,
    /// `ON`
    pub database: String,
    /// `ON`
    pub policy: String,
    /// `ALL` or `ANY`
    pub mode: DestinationMode,
    /// At least one.
    pub destinations: Vec<String>,
}

/// Who of the destinations gets a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DestinationMode {
    /// Every one.
    All,
    /// One of them.
    Any,
}
