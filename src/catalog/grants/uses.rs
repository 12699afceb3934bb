//! Stores the last day on which each token was used. The day has a separate row, so that a use does
//! not change the token's row.

use crate::store::row::Rows;
use crate::store::{KEY_MAX, Store, StoreResult, Table};

/// The first key of these rows in the `schema` table. Tokens and users have lower keys.
pub(super) const FIRST_USE_KEY: u64 = 1 << 52;
/// The day of the last use, in days since the epoch (UTC). The number of a row is the token's id.
const USES: Rows<u32> = Rows::within(Table::Schema, FIRST_USE_KEY, KEY_MAX);

pub(super) fn read<S: Store>(store: &S, id: u64) -> StoreResult<Option<u32>> {
    USES.get(store, id)
}

/// Records that the token was used on `day`. Writes at most one row per day.
pub(super) fn note<S: Store>(store: &S, id: u64, day: u32) -> StoreResult<()> {
    if read(store, id)? >= Some(day) {
        return Ok(());
    }
    USES.put(store, id, &day)
}

pub(super) fn remove<S: Store>(store: &S, id: u64) -> StoreResult<()> {
    USES.remove(store, id, id)
}
