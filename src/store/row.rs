//! Rows of JSON, as Catalog and Database keep them.
//!
//! Version 1 is the JSON alone, which begins with `{`. A later version begins with its number.

use serde::{Deserialize, Serialize};

use super::StoreError;

/// The row's bytes.
///
/// # Errors
/// [`StoreError::Failed`] for what JSON cannot say.
pub fn to_json<T: Serialize>(row: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(row).map_err(|error| StoreError::Failed(error.to_string()))
}

/// The row that [`to_json`] was given.
///
/// # Errors
/// [`StoreError::Failed`] for a row that is damaged or of a newer version.
pub fn parse<T: for<'a> Deserialize<'a>>(head: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(head).map_err(|error| unreadable(head, &error))
}

fn unreadable(head: &[u8], error: &serde_json::Error) -> StoreError {
    StoreError::Failed(match head.first() {
        Some(&version) if version != b'{' => {
            format!("a row cannot be read: its version {version} is newer than this release")
        }
        _ => format!("a row cannot be read: {error}"),
    })
}
