//! Rows of metadata, as Catalog and Database keep them: `version <u8> │ metadata`.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;
use crate::codec::metadata;

const VERSION: u8 = 1;

/// The row's bytes.
pub fn encode<T: Serialize>(row: &T) -> Vec<u8> {
    let mut bytes = metadata::encode(row);
    bytes.insert(0, VERSION);
    bytes
}

/// The row that [`encode`] was given.
///
/// # Errors
/// [`StoreError::Failed`] for a row that is damaged or of a newer version.
pub fn decode<T: DeserializeOwned>(head: &[u8]) -> Result<T, StoreError> {
    let why = match head.split_first() {
        Some((&VERSION, bytes)) => match metadata::decode(bytes) {
            Ok(row) => return Ok(row),
            Err(error) => error.to_string(),
        },
        Some((version, _)) => format!("its version {version} is newer than this release"),
        None => "it is empty".to_owned(),
    };
    Err(StoreError::Failed(format!("a row cannot be read: {why}")))
}
