//! Names of the Worker's bindings.

/// Durable Object namespace of the Catalog.
pub(super) const CATALOG: &str = "CATALOG";
/// Durable Object namespace of the Databases.
pub(super) const DATABASE: &str = "DATABASE";
/// Durable Object namespace of the Shards.
pub(super) const SHARD: &str = "SHARD";
/// Secret: the token that may do everything.
pub(super) const ADMIN_TOKEN: &str = "ADMIN_TOKEN";
