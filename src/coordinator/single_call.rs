//! Sends one message to the Catalog, or to the Database with a given name.

use super::Io;
use super::error::{Error, Result};
use super::load_schemas::{Load, Want};
use crate::protocol::call::Address;
use crate::protocol::catalog::{FromCatalog, ToCatalog};
use crate::protocol::database::{FromDatabase, ToDatabase};
use crate::protocol::envelope;

/// Sends a message to the Catalog.
pub async fn call_catalog(io: &Io, message: &ToCatalog) -> Result<FromCatalog> {
    match envelope::decode_reply(io.call(Address::Catalog, message).await)? {
        reply @ (FromCatalog::Refused(_) | FromCatalog::Unavailable(_)) => Err(reply.into()),
        reply => Ok(reply),
    }
}

/// Looks up a database in the Catalog, and sends a message to the Database.
pub async fn call_database(io: &Io, name: &str, message: &ToDatabase) -> Result<FromDatabase> {
    let loaded = Load::from_owner(name, Want::Nothing).run(io).await?;
    match envelope::decode_reply(io.call(Address::Database(loaded.object), message).await)? {
        FromDatabase::NotOpen => Err(Error::DatabaseNotFound(name.to_owned())),
        reply @ (FromDatabase::Refused(_) | FromDatabase::Unavailable(_)) => Err(reply.into()),
        reply => Ok(reply),
    }
}
