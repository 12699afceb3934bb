//! Keeps on which day each secret of a token was used last: a row beside the token's own, which a
//! use must not change.

use serde::{Deserialize, Serialize};

use crate::protocol::catalog::LastUse;
use crate::protocol::grants::Grantee;
use crate::store::row;
use crate::store::{Store, StoreError, Table};

/// Keys of these rows in the `schema` table; tokens and users lie below.
pub(super) const FIRST_USE_KEY: u64 = 1 << 52;

/// The row of one token.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct UsesRow {
    /// Of each of its secrets that was used.
    uses: Vec<LastUse>,
}

/// When the token of this number was used.
pub(super) fn read<S: Store>(store: &S, id: u64) -> Result<Vec<LastUse>, StoreError> {
    let key = FIRST_USE_KEY | id;
    let Some(head) = store.head(Table::Schema, key)? else { return Ok(Vec::new()) };
    row::read::<UsesRow>(Table::Schema, key, &head).map(|row| row.uses)
}

/// Notes that a secret of `row` was used on `day`: a row is written once a day.
pub(super) fn note<S: Store>(
    store: &S,
    row: &Grantee,
    hash: &str,
    day: u32,
) -> Result<(), StoreError> {
    let mut uses = read(store, row.id)?;
    if uses.iter().any(|known| known.hash == hash && known.day >= day) {
        return Ok(());
    }
    uses.retain(|known| known.hash != hash && row.keys().any(|key| key.text == known.hash));
    uses.push(LastUse { hash: hash.to_owned(), day });
    store.put(Table::Schema, FIRST_USE_KEY | row.id, &row::encode(&UsesRow { uses })?, &[])
}

/// Forgets a token that is gone.
pub(super) fn remove<S: Store>(store: &S, id: u64) -> Result<(), StoreError> {
    let key = FIRST_USE_KEY | id;
    store.delete(Table::Schema, key..=key)
}
