//! Stores the last day on which each token was used. The day has a separate row, so that a use does
//! not change the token's row.

use serde::{Deserialize, Serialize};

use crate::protocol::grants::Grantee;
use crate::store::row;
use crate::store::{Store, StoreResult, Table};

/// The first key of the rows with last uses in the `schema` table. Tokens and users have lower
/// keys.
pub(super) const FIRST_USE_KEY: u64 = 1 << 52;

#[derive(Serialize, Deserialize)]
struct UsesRow {
    uses: Vec<LastUse>,
}

#[derive(Serialize, Deserialize)]
struct LastUse {
    hash: String,
    /// The day in days since the epoch (UTC).
    day: u32,
}

pub(super) fn read<S: Store>(store: &S, id: u64) -> StoreResult<Option<u32>> {
    let key = FIRST_USE_KEY | id;
    let Some(head) = store.head(Table::Schema, key)? else { return Ok(None) };
    let UsesRow { uses } = row::read(Table::Schema, key, &head)?;
    Ok(uses.iter().map(|last| last.day).max())
}

/// Records that the token `row` was used on `day`. Writes at most one row per day.
pub(super) fn note<S: Store>(store: &S, row: &Grantee, day: u32) -> StoreResult<()> {
    if read(store, row.id)? >= Some(day) {
        return Ok(());
    }
    let uses = vec![LastUse { hash: row.hash.clone(), day }];
    store.put(Table::Schema, FIRST_USE_KEY | row.id, &row::encode(&UsesRow { uses })?, &[])
}

pub(super) fn remove<S: Store>(store: &S, id: u64) -> StoreResult<()> {
    let key = FIRST_USE_KEY | id;
    store.delete(Table::Schema, key..=key)
}
