//! Determines the work that a shard's parts and tombstones require. The result depends only on the
//! metadata, and is cached until the metadata changes.

use std::rc::Rc;

use super::compact::choose::{self, ChoiceInputs};
use super::load::Loaded;
use super::manifest::{Part, PartId};
use super::tombstone::Tombstone;

/// If a component has more unsealed parts, a write first runs a step of their merge.
const CROWDED_PARTS: usize = 48;

#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    pub merges: Vec<Vec<PartId>>,
    /// The parts that may have rows hidden by a tombstone, or rows after the end of the shard's
    /// range.
    pub scrub: Vec<PartId>,
    /// Whether the shard has parts without visible rows, or unneeded tombstones.
    pub(crate) has_garbage: bool,
    pub(crate) first_expiry_ns: Option<i64>,
    /// Whether writes must wait for merge steps, because too many parts are unmerged.
    pub is_crowded: bool,
    /// The time at which further merges may become due without other changes.
    pub quiet_ns: Option<i64>,
}

impl Plan {
    pub(super) fn is_idle(&self) -> bool {
        self.merges.is_empty() && self.scrub.is_empty()
    }
}

impl Loaded {
    pub(super) fn plan(&self, now_ns: i64) -> Rc<Plan> {
        let mut known = self.plan.borrow_mut();
        let is_old = |plan: &Rc<Plan>| plan.quiet_ns.is_some_and(|quiet_ns| quiet_ns <= now_ns);
        if known.as_ref().is_some_and(is_old) {
            *known = None;
        }
        Rc::clone(known.get_or_insert_with(|| Rc::new(self.make_plan(now_ns))))
    }

    pub(super) fn forget_plan(&self) {
        self.series.forget_parts();
        self.plan.take();
    }

    fn make_plan(&self, now_ns: i64) -> Plan {
        let manifest = &self.manifest;
        let parts: Vec<&Part> = manifest.parts().values().collect();
        let components = choose::components(&parts, manifest.width_ns);
        let stored: u64 = parts.iter().map(|part| part.bytes).sum();
        let now = ChoiceInputs {
            width_ns: manifest.width_ns,
            free_bytes: self.full_bytes.saturating_sub(stored),
            is_quiet: &|slot| self.state.slot_writes.quiet_ns(slot) <= now_ns,
            is_left: &|id| self.unmergeable.contains(&id),
        };
        let merges =
            if manifest.job().is_none() { choose::choose(&components, &now) } else { vec![] };
        let are_more_than = |count: usize, is_quiet: &dyn Fn(&Part) -> bool| {
            components.iter().any(|parts| choose::unsealed(parts, is_quiet).len() > count)
        };
        let may_merge = are_more_than(1, &|_| true);
        Plan {
            merges,
            scrub: self.scrubbable(&parts),
            has_garbage: parts.iter().any(|part| self.is_beyond(part)) || self.has_spent(),
            first_expiry_ns: manifest.next_expiry_ns(),
            is_crowded: are_more_than(CROWDED_PARTS, &|part| now.is_quiet_part(part)),
            quiet_ns: self.state.slot_writes.next_quiet_ns(now_ns).filter(|_| may_merge),
        }
    }

    /// A split has moved the rows of a part that is entirely after the end of the shard's range.
    pub(super) fn is_beyond(&self, part: &Part) -> bool {
        part.min_ns >= self.state.settings.range.end_ns && self.is_free(part.id)
    }

    fn is_free(&self, id: PartId) -> bool {
        self.manifest.job().is_none_or(|job| !job.has(id))
    }

    /// Returns the parts that the scrub duty must search.
    fn scrubbable(&self, parts: &[&Part]) -> Vec<PartId> {
        let is_cut = |part: &Part| part.max_ns >= self.state.settings.range.end_ns;
        let is_hit = |part: &Part| self.tombstones.values().any(|t| t.may_hide_rows_of(part));
        let wanted = parts.iter().filter(|part| self.is_free(part.id) && !self.is_beyond(part));
        let wanted = wanted.filter(|part| !self.unmergeable.contains(&part.id));
        wanted.filter(|part| is_cut(part) || is_hit(part)).map(|part| part.id).collect()
    }

    pub(super) fn applied_tombstones(&self) -> impl Iterator<Item = u64> + '_ {
        let oldest_frame = self.wal.frames().keys().next().copied().unwrap_or(u64::MAX);
        let is_spent = move |tombstone: &Tombstone| {
            oldest_frame > tombstone.sequence
                && self.wal.damaged().is_empty()
                && !self.manifest.needs_tombstone((tombstone.sequence, tombstone.before), |part| {
                    tombstone.overlaps(part)
                })
        };
        self.tombstones.iter().filter(move |(_, t)| is_spent(t)).map(|(&key, _)| key)
    }

    fn has_spent(&self) -> bool {
        self.applied_tombstones().next().is_some()
    }
}
