//! DELETE: a tombstone now, the rows by compaction.

use super::Shard;
use super::load::ASIDE_KEY;
use super::request::{Deletion, Refusal};
use super::stored;
use super::tombstone::{self, Tombstone};
use crate::protocol::shard::Stamp;
use crate::store::{Store, Table};

impl<S: Store> Shard<S> {
    /// Hides matching rows that are stored now. Durable and visible at once; a repeat hides what
    /// was written in between too.
    ///
    /// # Errors
    /// [`Refusal::Stale`], [`Refusal::Invalid`] for a predicate that looks at more than tags,
    /// [`Refusal::Store`].
    pub fn delete(&mut self, deletion: &Deletion, stamp: &Stamp) -> Result<(), Refusal> {
        self.current(stamp)?;
        if let Some(predicate) = &deletion.predicate {
            tombstone::check(predicate)?;
        }
        let loaded = self.loaded.as_mut().ok_or(Refusal::Stale)?;
        let key = loaded.tombstones.keys().next_back().map_or(0, |last| last + 1);
        if key >= ASIDE_KEY {
            return Err(Refusal::Invalid("too many deletes are pending".into()));
        }
        let sequence = loaded.wal.next_sequence();
        let tombstone = Tombstone { sequence, deletion: deletion.clone() };
        let written = self.store.put(Table::Tombstone, key, &stored::encode(&tombstone), b"");
        if let Err(error) = written {
            return Err(self.lost(error.into()));
        }
        loaded.wal.skip();
        loaded.tombstones.insert(key, tombstone);
        loaded.plan.take();
        // Replayed without the hidden rows when it is needed again.
        self.cache.take_memtable();
        Ok(())
    }
}
