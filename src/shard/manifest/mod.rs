//! What a shard's storage holds, as one row says: its parts, which rows of `value` are whose, which
//! are free, and the merge that is under way.
//!
//! Pure: bytes come in and go out, and every change is a function of what was there. Whoever keeps
//! it writes the whole of it in the transaction of what it speaks of, so that one REPLACE takes the
//! shard from one version to the next.
#![doc = include_str!("FORMAT.md")]

mod check;
mod encode;
mod expiry;
pub mod ranges;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use check::Unsound;
pub use encode::ManifestError;

use crate::merge::sequences::{Extent, Sequences};
use crate::model::series_sketch::SeriesSketch;
use crate::model::time::TimeRange;
use ranges::{Ranges, Runs};

/// A part's id. Never given twice, not even when the platform lost the write that gave it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartId(pub u64);

/// A value's number: the name of one content. A value that is written anew gets another, so that
/// who remembers what a number held, in a cache or a backup, is never wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number(pub u64);

/// The key of a row of `value`: below 2^53, since SQL numbers pass through a double.
pub type Key = u64;

/// A sorted run of rows, each series and time once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Its id.
    pub id: PartId,
    /// The lowest write sequence of its rows.
    pub lo: u64,
    /// The highest one.
    pub hi: u64,
    /// Rows that a tombstone of at most this sequence hides are gone from it.
    pub applied: u64,
    /// The earliest time, inclusive.
    pub min_ns: i64,
    /// The latest time, inclusive.
    pub max_ns: i64,
    /// Rows.
    pub rows: u64,
    /// Series, each counted once per measurement.
    pub series: u64,
    /// Encoded bytes.
    pub bytes: u64,
    /// Decoded values.
    pub cells: u64,
    /// The numbers of its values, in their order.
    pub values: Runs,
    /// Which series it has; empty of a part of an earlier release, which says only how many.
    pub sketch: SeriesSketch,
}

impl Part {
    /// The writes that its rows are of.
    pub fn sequences(&self) -> Sequences {
        Sequences { lo: self.lo, hi: self.hi, applied: self.applied }
    }

    /// Where its rows lie.
    pub fn extent(&self) -> Extent {
        let time = TimeRange::new(self.min_ns, self.max_ns.saturating_add(1));
        Extent { sequences: self.sequences(), time }
    }

    /// Whether a tombstone of sequence `sequence`, of what was written before sequence `before`,
    /// may hide rows of it.
    pub fn is_open_to(&self, sequence: u64, before: u64) -> bool {
        self.sequences().has_yet_to_apply(sequence, before)
    }
}

/// Values that are copied, by a backup or a split: their rows are neither reused nor deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hold {
    /// Given by whoever copies.
    pub id: u64,
    /// Which.
    pub numbers: Runs,
    /// When it ends by itself, nanoseconds since 1970.
    pub until_ns: i64,
}

/// Parts to be replaced by one part for each slot of time that has rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merge {
    /// Ascending.
    pub inputs: Vec<PartId>,
    /// The id of its first output; the others follow, one for each slot in order of time.
    pub first_output: PartId,
    /// Slots that the inputs' times touch.
    pub outputs: u32,
    /// Of the outputs: the larger of the highest tombstone and the inputs', when the job started.
    pub applied: u64,
}

/// Merges that take more than one event. Full values are written as they come, under reserved keys:
/// they are the progress, and whose they are stands in their heads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Job {
    /// At most one of each component.
    pub merges: Vec<Merge>,
    /// By which outputs are cut, whatever it is now, nanoseconds.
    pub width_ns: i64,
    /// Keys that its values are written under.
    pub keys: Ranges,
}

impl Merge {
    /// The id of output number `at`.
    pub fn output(&self, at: u32) -> PartId {
        let (salt, first) = (self.first_output.0 >> 32, self.first_output.0 as u32);
        PartId(salt << 32 | u64::from(first.wrapping_add(at)))
    }
}

impl Job {
    /// Whether a part is one of its inputs. Such a part is neither dropped nor rewritten.
    pub fn has(&self, id: PartId) -> bool {
        self.merges.iter().any(|merge| merge.inputs.contains(&id))
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Part ids and value numbers are a number drawn when the object loads, then this.
    next_part: u32,
    next_number: u32,
    /// Every key from here on is free.
    next_key: Key,
    /// Time slots that later parts are cut by, nanoseconds, above 0.
    pub width_ns: i64,
    parts: BTreeMap<PartId, Part>,
    keys: BTreeMap<Number, Key>,
    /// Free keys below `next_key`.
    dead: Ranges,
    holds: Vec<Hold>,
    job: Option<Job>,
}

impl Manifest {
    /// Of a shard without parts.
    pub fn new(width_ns: i64) -> Self {
        Self { width_ns: width_ns.max(1), ..Self::default() }
    }

    /// The parts, by id.
    pub fn parts(&self) -> &BTreeMap<PartId, Part> {
        &self.parts
    }

    /// The running job.
    pub fn job(&self) -> Option<&Job> {
        self.job.as_ref()
    }

    /// Keys of rows that nothing needs: they are written again before new ones are made.
    pub fn dead(&self) -> &Ranges {
        &self.dead
    }

    /// The values that have rows, ascending.
    pub fn numbers(&self) -> impl Iterator<Item = Number> {
        self.keys.keys().copied()
    }

    /// The row that a value is in.
    pub fn key_of(&self, number: Number) -> Option<Key> {
        self.keys.get(&number).copied()
    }

    /// A new part's id; `salt` was drawn when the object loaded.
    pub fn give_id(&mut self, salt: u32) -> PartId {
        PartId(give(&mut self.next_part, salt))
    }

    /// Ids for the outputs of a merge, the first of `count` that follow each other.
    pub fn give_ids(&mut self, salt: u32, count: u32) -> PartId {
        let first = self.give_id(salt);
        self.next_part = self.next_part.wrapping_add(count.saturating_sub(1));
        first
    }

    /// The number of a value that is about to be written: never one given ahead.
    pub fn give_number(&mut self, salt: u32) -> Number {
        Number(give(&mut self.next_number, salt))
    }

    /// A key for a row of `value`: a dead one if there is any, for replacing a row is billed once.
    pub fn take_key(&mut self) -> Key {
        self.dead.take_first().unwrap_or_else(|| {
            self.next_key += 1;
            self.next_key - 1
        })
    }

    /// Lists parts that were written, and where their values are.
    pub fn add(&mut self, parts: impl IntoIterator<Item = Part>, values: &[(Number, Key)]) {
        self.parts.extend(parts.into_iter().map(|part| (part.id, part)));
        self.keys.extend(values.iter().copied());
    }

    /// Reserves `count` keys for a job, and makes it the running one.
    pub fn start(&mut self, merges: Vec<Merge>, count: u32) {
        let mut keys = Ranges::default();
        (0..count).for_each(|_| keys.insert(self.take_key()));
        self.job = Some(Job { merges, width_ns: self.width_ns, keys });
    }

    /// Puts the outputs of the running job in the place of its inputs. `values` are those that were
    /// written; reserved keys that were not needed are free again.
    pub fn finish(&mut self, outputs: impl IntoIterator<Item = Part>, values: &[(Number, Key)]) {
        let Some(job) = self.job.take() else { return };
        for id in job.merges.iter().flat_map(|merge| &merge.inputs) {
            self.parts.remove(id);
        }
        let used: BTreeSet<Key> = values.iter().map(|&(_, key)| key).collect();
        for key in job.keys.iter().filter(|key| !used.contains(key)) {
            self.dead.insert(key);
        }
        self.add(outputs, values);
        self.free_unneeded();
    }

    /// Gives the running job up: its inputs stay, and its keys are free again.
    pub fn abandon(&mut self) {
        for key in self.job.take().iter().flat_map(|job| job.keys.iter()) {
            self.dead.insert(key);
        }
    }

    /// Reserves one more key for the running job: behind all others, since what stands under them
    /// is read in their order.
    pub fn reserve(&mut self) -> Key {
        let key = self.next_key;
        self.next_key += 1;
        self.job.iter_mut().for_each(|job| job.keys.insert(key));
        key
    }

    /// Drops a part whose rows nobody may see. One of the running job stays: it is left out there.
    pub fn drop_part(&mut self, id: PartId) -> bool {
        let is_free = self.job.as_ref().is_none_or(|job| !job.has(id));
        let is_dropped = is_free && self.parts.remove(&id).is_some();
        if is_dropped {
            self.free_unneeded();
        }
        is_dropped
    }

    /// Changes what is known of a part, its values apart.
    pub fn update(&mut self, id: PartId, change: impl FnOnce(&mut Part)) {
        if let Some(part) = self.parts.get_mut(&id) {
            let values = part.values.clone();
            change(part);
            (part.id, part.values) = (id, values);
        }
    }

    /// Keeps rows for someone who copies them.
    pub fn hold(&mut self, hold: Hold) {
        self.holds.retain(|held| held.id != hold.id);
        self.holds.push(hold);
    }

    /// The holds.
    pub fn holds(&self) -> &[Hold] {
        &self.holds
    }

    /// The hold of this id.
    pub fn held(&self, id: u64) -> Option<&Hold> {
        self.holds.iter().find(|hold| hold.id == id)
    }

    /// The same parts where every value that they list stands under its position among the numbers,
    /// and nothing else does: without holds, free keys and the running job, whose inputs stay.
    pub fn compact(&self) -> Self {
        let lists = self.parts.values().map(|part| &part.values);
        let numbers: BTreeSet<u64> = lists.flat_map(Runs::iter).collect();
        let keys: BTreeMap<Number, Key> = numbers.iter().copied().map(Number).zip(0..).collect();
        Self {
            next_part: self.next_part,
            next_number: self.next_number,
            next_key: keys.len() as u64,
            width_ns: self.width_ns,
            parts: self.parts.clone(),
            keys,
            ..Self::default()
        }
    }

    /// Ends a hold, and those that are over at `now_ns`.
    pub fn release(&mut self, id: Option<u64>, now_ns: i64) {
        self.holds.retain(|hold| Some(hold.id) != id && hold.until_ns > now_ns);
        self.free_unneeded();
    }

    /// After the rows of all dead keys were deleted: such keys are not given again.
    pub fn forget_dead(&mut self) {
        self.dead = Ranges::default();
    }

    /// Whether a tombstone still has work: some part, or output of the running job, may have rows
    /// that it hides. `touches` says whether it concerns a part's measurements, series and times.
    pub fn needs_tombstone(
        &self,
        (sequence, before): (u64, u64),
        touches: impl Fn(&Part) -> bool,
    ) -> bool {
        let is_open = |part: &&Part| part.is_open_to(sequence, before) && touches(part);
        let inputs = |merge: &Merge| {
            let hi = merge.inputs.iter().filter_map(|id| self.parts.get(id)).map(|part| part.hi);
            merge.applied < sequence && hi.max().is_some_and(|hi| hi < before)
        };
        self.parts.values().any(|part| is_open(&part))
            || self.job.iter().flat_map(|job| &job.merges).any(inputs)
    }

    /// Keys of values that nobody lists or holds join the dead.
    fn free_unneeded(&mut self) {
        let lists = self.parts.values().map(|part| &part.values);
        let lists = lists.chain(self.holds.iter().map(|hold| &hold.numbers));
        let needed: BTreeSet<u64> = lists.flat_map(Runs::iter).collect();
        let dead = &mut self.dead;
        self.keys.retain(|number, key| {
            let is_needed = needed.contains(&number.0);
            if !is_needed {
                dead.insert(*key);
            }
            is_needed
        });
    }
}

/// The next number of a counter behind a salt: of 2^32 that one load of the object could give.
fn give(next: &mut u32, salt: u32) -> u64 {
    let given = u64::from(salt) << 32 | u64::from(*next);
    *next = next.wrapping_add(1);
    given
}
