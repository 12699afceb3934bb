//! DELETE: a tombstone now, the rows by compaction.

use super::Shard;
use super::load::{ASIDE_KEY, Loaded};
use super::request::{Deletion, Refusal};
use super::tombstone::{self, Tombstone};
use crate::model::sorted_set::SortedSet;
use crate::protocol::shard::Stamp;
use crate::store::row;
use crate::store::{Store, Table};

impl<S: Store> Shard<S> {
    /// Hides matching rows that are stored now.
    ///
    /// # Errors
    /// As [`Shard::delete_before`].
    pub fn delete(&mut self, deletion: &Deletion, stamp: &Stamp) -> Result<(), Refusal> {
        self.delete_before(u64::MAX, std::slice::from_ref(deletion), stamp)
    }

    /// Hides matching rows of write sequences below `before`. Durable and visible at once; a
    /// repeat changes nothing. Deletions of nothing that is stored leave no trace.
    ///
    /// # Errors
    /// [`Refusal::Stale`], also when rows on both sides of `before` have become one block;
    /// [`Refusal::Invalid`] for a predicate that looks at more than tags, [`Refusal::Store`].
    pub fn delete_before(
        &mut self,
        before: u64,
        deletions: &[Deletion],
        stamp: &Stamp,
    ) -> Result<(), Refusal> {
        self.current(stamp)?;
        deletions.iter().filter_map(|d| d.predicate.as_ref()).try_for_each(tombstone::check)?;
        let loaded = self.loaded.as_mut().ok_or(Refusal::Stale)?;
        let sequence = loaded.wal.next_sequence();
        let segments = loaded.directories.values().flat_map(|directory| &directory.segments);
        let last = segments.map(|segment| segment.last_sequence).max().unwrap_or_default();
        if last.max(loaded.state.head) >= before {
            return Err(Refusal::Stale);
        }
        // Beyond the range there is nothing to delete: after a split it ends at the fence.
        let range_end_ns = loaded.state.settings.range.end_ns;
        let last_ns = |d: &Deletion| d.time.end_ns.min(range_end_ns).saturating_sub(1);
        let behind = |d: &Deletion| loaded.state.fence.refuses(last_ns(d));
        if deletions.iter().any(behind) {
            return Err(Refusal::Changing);
        }
        let deletions = loaded.concerned(deletions);
        if deletions.is_empty() {
            return Ok(());
        }
        let key = loaded.tombstones.keys().next_back().map_or(0, |last| last + 1);
        if key >= ASIDE_KEY {
            return Err(Refusal::Invalid("too many deletes are pending".into()));
        }
        let tombstone = Tombstone { sequence, before: before.min(sequence), deletions };
        let written = self.store.put(Table::Tombstone, key, &row::encode(&tombstone)?, b"");
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

impl Loaded {
    /// Those of `deletions` whose measurement has anything here.
    fn concerned(&self, deletions: &[Deletion]) -> Vec<Deletion> {
        let touched = self.touched();
        let in_wal = touched.iter().flatten().map(|&(measurement, _)| measurement);
        let segments = self.directories.values().flat_map(|directory| &directory.segments);
        let here: SortedSet<_> = segments.map(|s| s.measurement).chain(in_wal).collect();
        // What a damaged row held is not known.
        let all = touched.is_none() || !self.wal.damaged().is_empty() || !self.damaged.is_empty();
        let concerned = deletions.iter().filter(|d| all || here.contains(&d.measurement));
        concerned.cloned().collect()
    }
}
