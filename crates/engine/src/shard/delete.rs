//! Implements DELETE: stores a tombstone immediately. Later merges remove the rows.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::Shard;
use super::damage::DAMAGE_KEY_MIN;
use super::loaded::Loaded;
use super::refusal::Refusal;
use super::tombstone::{Tombstone, check_predicate};
use crate::merge::cursor::ReadError;
use crate::part::pages;
use crate::protocol::shard::Stamp;
use crate::scan::request::Deletion;
use crate::store::Store;
use tidemark_model::ids::MeasurementId;

/// The maximum number of parts whose directories a message with deletions reads.
const PARTS_READ_MAX: usize = 64;
/// The maximum number of searches for a measurement in a part. The searches take a few
/// milliseconds.
const SEARCHES_MAX: usize = 10_000;

impl<S: Store> Shard<S> {
    /// Hides the matching stored rows with a write sequence below `before`. The change is durable
    /// and visible immediately. A repeated call has no effect. If a deletion matches no stored
    /// rows, no tombstone is written.
    ///
    /// # Errors
    /// - [`Refusal::Stale`], also if rows with a write sequence of `before` or higher were flushed
    /// - [`Refusal::Invalid`] if a predicate uses columns other than tags, or if too many deletes
    ///   are pending
    /// - [`Refusal::Store`]
    pub fn delete(
        &mut self,
        before: u64,
        deletions: &[Deletion],
        stamp: &Stamp,
        now_ns: i64,
    ) -> Result<(), Refusal> {
        let loaded = self.check_stamp(stamp)?;
        loaded.deletions.limit_patterns();
        deletions
            .iter()
            .filter_map(|d| d.predicate.as_ref())
            .try_for_each(|predicate| check_predicate(predicate, &loaded.deletions.patterns))?;
        let (state, parts) = (loaded.state(), loaded.manifest().parts());
        let last = parts.values().map(|part| part.hi).max();
        if last.unwrap_or_default().max(state.head) >= before {
            return Err(Refusal::Stale);
        }
        // The shard has no rows after its range. After a split, the range ends at the fence.
        let range_end_ns = state.settings.range.end_ns;
        let last_ns = |d: &Deletion| d.time.end_ns.min(range_end_ns).saturating_sub(1);
        if deletions.iter().any(|d| state.fence.refuses(last_ns(d))) {
            return Err(Refusal::Changing);
        }
        let deletions = self.affected(deletions)?;
        if deletions.is_empty() {
            return Ok(());
        }
        let loaded = self.load()?;
        let (key, tombstone) = loaded.next_tombstone(before, deletions);
        if key >= DAMAGE_KEY_MIN {
            return Err(Refusal::Invalid("too many deletes are pending".into()));
        }
        loaded.deletions.check_pending(&tombstone)?;
        if let Err(refusal) = tombstone.write(&*loaded.store, key) {
            return Err(self.discard_state(refusal));
        }
        loaded.add_tombstone(key, tombstone);
        loaded.pace.deleted_ns = Some(now_ns);
        Ok(())
    }

    /// Returns the deletions that may match stored rows. If the search exceeds its limits, the
    /// result also contains the remaining deletions.
    fn affected(&self, deletions: &[Deletion]) -> Result<Vec<Deletion>, Refusal> {
        let loaded = self.loaded.as_ref().ok_or(Refusal::Stale)?;
        let touched = loaded.log.changed_ranges();
        // The contents of a damaged row are unknown, so every deletion may affect the row.
        let is_damaged = !loaded.log.wal.damaged().is_empty() || !loaded.damaged.known.is_empty();
        let Some(touched) = touched.filter(|_| !is_damaged) else { return Ok(deletions.to_vec()) };
        let in_log: BTreeSet<MeasurementId> = touched.into_iter().map(|(of, _)| of).collect();
        let (mut concerned, mut others): (Vec<&Deletion>, Vec<&Deletion>) =
            deletions.iter().partition(|deletion| in_log.contains(&deletion.measurement));
        let (mut parts_left, mut searches_left) = (PARTS_READ_MAX, SEARCHES_MAX);
        for part in loaded.manifest().parts().values() {
            let time = part.extent().time;
            let count = others.iter().filter(|deletion| deletion.time.overlaps(&time)).count();
            if count == 0 {
                continue;
            }
            if parts_left == 0 || count > searches_left {
                concerned.append(&mut others);
                break;
            }
            parts_left -= 1;
            searches_left -= count;
            let mut values = loaded.values(&self.reads, part, &Rc::default());
            let mut absent = Vec::with_capacity(others.len());
            for deletion in others {
                let may_match = deletion.time.overlaps(&time)
                    && match pages::groups_of(&mut values, part.id.0, deletion.measurement) {
                        Ok(groups) => !groups.is_empty(),
                        Err(ReadError::Damaged { .. }) => true,
                        Err(error) => return Err(error.into()),
                    };
                let list = if may_match { &mut concerned } else { &mut absent };
                list.push(deletion);
            }
            others = absent;
        }
        Ok(concerned.into_iter().cloned().collect())
    }
}

impl<S: Store> Loaded<S> {
    /// Returns the key and the content of the next tombstone. The tombstone hides rows with a
    /// sequence below `before`, and uses the next write sequence.
    pub(super) fn next_tombstone(&self, before: u64, deletions: Vec<Deletion>) -> (u64, Tombstone) {
        let sequence = self.log.wal.next_sequence();
        let tombstone = Tombstone::new(sequence, before.min(sequence), deletions);
        (self.deletions.next_key, tombstone)
    }

    pub(super) fn add_tombstone(&mut self, key: u64, tombstone: Tombstone) {
        self.log.skip_sequence();
        self.deletions.next_key = key + 1;
        self.deletions.tombstones.insert(key, tombstone);
        self.parts.forget_due_work();
    }
}
