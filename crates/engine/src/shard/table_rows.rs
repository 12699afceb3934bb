//! Reads the heads of a table in batches.

use crate::store::{KEY_MAX, Store, StoreResult, Table};

const HEADS_PER_READ: u32 = 1_000;

/// Calls `take` with every head of a table, starting with key `from`.
pub(super) fn each_head<S: Store>(
    store: &S,
    table: Table,
    mut from: u64,
    mut take: impl FnMut(u64, Vec<u8>),
) -> StoreResult<()> {
    loop {
        let heads = store.heads(table, from..=KEY_MAX, HEADS_PER_READ)?;
        let Some(&(last, _)) = heads.last() else { return Ok(()) };
        for (key, head) in heads {
            take(key, head);
        }
        from = last + 1;
    }
}
