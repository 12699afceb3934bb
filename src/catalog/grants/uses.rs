//! Stores the last day on which each secret of a token was used. The days of a token have a
//! separate row, so that a use does not change the token's row.

use serde::{Deserialize, Serialize};

use crate::protocol::catalog::LastUse;
use crate::protocol::grants::Grantee;
use crate::store::row;
use crate::store::{Store, StoreResult, Table};

/// The first key of the rows with last uses in the `schema` table. Tokens and users have lower
/// keys.
pub(super) const FIRST_USE_KEY: u64 = 1 << 52;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct UsesRow {
    uses: Vec<LastUse>,
}

pub(super) fn read<S: Store>(store: &S, id: u64) -> StoreResult<Vec<LastUse>> {
    let key = FIRST_USE_KEY | id;
    let Some(head) = store.head(Table::Schema, key)? else { return Ok(Vec::new()) };
    row::read::<UsesRow>(Table::Schema, key, &head).map(|row| row.uses)
}

/// Records that a secret of `row` was used on `day`. Writes at most one row per secret and day.
pub(super) fn note<S: Store>(store: &S, row: &Grantee, hash: &str, day: u32) -> StoreResult<()> {
    let mut uses = read(store, row.id)?;
    if uses.iter().any(|known| known.hash == hash && known.day >= day) {
        return Ok(());
    }
    uses.retain(|known| known.hash != hash && row.keys().any(|key| key.text == known.hash));
    uses.push(LastUse { hash: hash.to_owned(), day });
    store.put(Table::Schema, FIRST_USE_KEY | row.id, &row::encode(&UsesRow { uses })?, &[])
}

pub(super) fn remove<S: Store>(store: &S, id: u64) -> StoreResult<()> {
    let key = FIRST_USE_KEY | id;
    store.delete(Table::Schema, key..=key)
}
