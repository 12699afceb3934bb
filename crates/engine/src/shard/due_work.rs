//! Determines the background work that a shard's parts and tombstones require: merges, searches for
//! hidden rows, and deletions of parts. The result depends only on the metadata, and is cached
//! until the metadata changes.

use std::rc::Rc;

use super::compact::choose::{self, ChoiceInputs};
use super::loaded::Loaded;
use super::manifest::{Part, PartId};
use super::parts::DueWork;
use super::tombstone::Tombstone;
use crate::store::Store;

/// The maximum number of unsealed parts in a component. If a component has more, each write first
/// runs a merge step.
const CROWDED_PARTS: usize = 48;

impl<S: Store> Loaded<S> {
    pub(super) fn due_work(&self, now_ns: i64) -> Rc<DueWork> {
        self.parts.due_work(now_ns, || self.compute_due_work(now_ns))
    }

    fn compute_due_work(&self, now_ns: i64) -> DueWork {
        let manifest = self.manifest();
        let parts: Vec<&Part> = manifest.parts().values().collect();
        let components = choose::components(&parts, manifest.width_ns);
        let stored: u64 = parts.iter().map(|part| part.bytes).sum();
        let now = ChoiceInputs {
            width_ns: manifest.width_ns,
            free_bytes: self.full_bytes.saturating_sub(stored),
            is_quiet: &|slot| self.state().slot_writes.quiet_ns(slot) <= now_ns,
            is_excluded: &|id| self.parts.is_excluded(id),
        };
        let merges =
            if manifest.job().is_none() { choose::choose(&components, &now) } else { vec![] };
        let are_more_than = |count: usize, is_quiet: &dyn Fn(&Part) -> bool| {
            components.iter().any(|parts| choose::unsealed(parts, is_quiet).len() > count)
        };
        let may_merge = are_more_than(1, &|_| true);
        DueWork {
            merges,
            scrub: self.scrubbable(&parts),
            has_garbage: parts.iter().any(|part| self.is_beyond(part))
                || self.spent_tombstones().next().is_some(),
            first_expiry_ns: manifest.next_expiry_ns(),
            is_crowded: are_more_than(CROWDED_PARTS, &|part| now.is_quiet_part(part)),
            quiet_ns: self.state().slot_writes.next_quiet_ns(now_ns).filter(|_| may_merge),
        }
    }

    /// Whether a split has moved all rows of the part, because the part begins at or after the end
    /// of the shard's range. The result is false for an input of the running job.
    pub(super) fn is_beyond(&self, part: &Part) -> bool {
        part.min_ns >= self.state().settings.range.end_ns && self.is_free(part.id)
    }

    fn is_free(&self, id: PartId) -> bool {
        self.manifest().job().is_none_or(|job| !job.has(id))
    }

    /// Returns the parts that the scrub task must search.
    fn scrubbable(&self, parts: &[&Part]) -> Vec<PartId> {
        let is_cut = |part: &Part| part.max_ns >= self.state().settings.range.end_ns;
        let is_hit =
            |part: &Part| self.deletions.tombstones.values().any(|t| t.may_hide_rows_of(part));
        let wanted = parts.iter().filter(|part| self.is_free(part.id) && !self.is_beyond(part));
        let wanted = wanted.filter(|part| !self.parts.is_excluded(part.id));
        wanted.filter(|part| is_cut(part) || is_hit(part)).map(|part| part.id).collect()
    }

    /// Returns the keys and sequences of the tombstones that hide no rows.
    pub(super) fn spent_tombstones(&self) -> impl Iterator<Item = (u64, u64)> {
        let wal = &self.log.wal;
        let oldest_frame = wal.frames().keys().next().copied().unwrap_or(u64::MAX);
        let is_spent = move |tombstone: &Tombstone| {
            let &Tombstone { sequence, before, .. } = tombstone;
            let touches = |part: &Part| tombstone.overlaps(part);
            oldest_frame > sequence
                && wal.damaged().is_empty()
                && !self.manifest().needs_tombstone(sequence, before, touches)
        };
        let spent = self.deletions.tombstones.iter().filter(move |(_, t)| is_spent(t));
        spent.map(|(&key, tombstone)| (key, tombstone.sequence))
    }
}
