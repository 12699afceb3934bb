//! Stores the last day on which each token was used. The day has a separate row, so that a use does
//! not change the token's row.

use serde::{Deserialize, Serialize};

use crate::protocol::grants::Grantee;
use crate::store::row::Rows;
use crate::store::{KEY_MAX, Store, StoreResult, Table};

/// The first key of these rows in the `schema` table. Tokens and users have lower keys.
pub(super) const FIRST_USE_KEY: u64 = 1 << 52;
/// The last uses. The number of a row is the token's id.
const USES: Rows<UsesRow> = Rows::within(Table::Schema, FIRST_USE_KEY, KEY_MAX);

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
    let uses = USES.get(store, id)?.map_or_else(Vec::new, |row| row.uses);
    Ok(uses.iter().map(|last| last.day).max())
}

/// Records that the token `row` was used on `day`. Writes at most one row per day.
pub(super) fn note<S: Store>(store: &S, row: &Grantee, day: u32) -> StoreResult<()> {
    if read(store, row.id)? >= Some(day) {
        return Ok(());
    }
    let uses = vec![LastUse { hash: row.hash.clone(), day }];
    USES.put(store, row.id, &UsesRow { uses })
}

pub(super) fn remove<S: Store>(store: &S, id: u64) -> StoreResult<()> {
    USES.remove(store, id, id)
}
