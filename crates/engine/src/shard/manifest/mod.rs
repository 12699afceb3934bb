//! Represents the manifest of a shard: the parts, the rows that contain their values, the unused
//! rows, and the running merges. A *value* is a row of table `value`, in which parts store their
//! blocks (see [`crate::part`]).
//!
//! This module has no I/O. Callers write the whole manifest, as one row, in the transaction of the
//! change that the manifest describes.
#![doc = include_str!("FORMAT.md")]

mod encode;
#[cfg(test)]
mod model_tests;
pub mod runs;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use encode::ManifestError;

use crate::merge::sequences::{Extent, Sequences};
use runs::Runs;
use tidemark_model::series_sketch::SeriesSketch;
use tidemark_model::time::TimeRange;

/// The id of a part. Ids are unique, even if the platform loses the write that contained an id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartId(pub u64);

/// The number of a value, which identifies the contents of the value. A rewritten value receives a
/// new number, so caches and backups can refer to contents by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number(pub u64);

/// The key of a row of table `value`, below 2^53, because SQL numbers are converted to doubles.
pub type Key = u64;

/// A sorted run of rows, with one row per series and time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// The part's id.
    pub id: PartId,
    /// The lowest write sequence of the rows.
    pub lo: u64,
    /// The highest write sequence of the rows.
    pub hi: u64,
    /// The sequence up to which tombstones have been applied: the part contains no rows that these
    /// tombstones hide.
    pub applied: u64,
    /// The earliest time, inclusive, in nanoseconds.
    pub min_ns: i64,
    /// The latest time, inclusive, in nanoseconds.
    pub max_ns: i64,
    /// The number of rows.
    pub rows: u64,
    /// The number of series, counted separately for each measurement.
    pub series: u64,
    /// The encoded size, in bytes.
    pub bytes: u64,
    /// The number of decoded values.
    pub cells: u64,
    /// The numbers of the part's values, in order.
    pub values: Runs,
    /// A sketch of the series, or an empty sketch if the series are unknown.
    pub sketch: SeriesSketch,
    /// The sum of the series' hashes ([`crate::part::writer::Written::series_sum`]), or 0 if an
    /// earlier release wrote the part.
    pub series_sum: u64,
}

impl Part {
    /// Returns the write sequences of the rows.
    pub fn sequences(&self) -> Sequences {
        Sequences { lo: self.lo, hi: self.hi, applied: self.applied }
    }

    pub(crate) fn extent(&self) -> Extent {
        let time = TimeRange::new(self.min_ns, self.max_ns.saturating_add(1));
        Extent { sequences: self.sequences(), time }
    }

    /// Whether the tombstone with sequence `sequence`, which hides rows written before sequence
    /// `before`, may hide rows of this part.
    pub(crate) fn may_be_hidden_by(&self, sequence: u64, before: u64) -> bool {
        self.sequences().has_yet_to_apply(sequence, before)
    }
}

/// A list of values that a backup or a split copies. The shard neither reuses nor deletes the rows
/// of these values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hold {
    /// The id of the hold, which the copying process chooses.
    pub id: u64,
    /// The numbers of the values.
    pub numbers: Runs,
    /// The time at which the hold expires, in nanoseconds since 1970.
    pub until_ns: i64,
}

impl Hold {
    /// Whether [`Manifest::release`] ends the hold.
    pub(crate) fn ends(&self, id: Option<u64>, now_ns: i64) -> bool {
        Some(self.id) == id || self.until_ns <= now_ns
    }
}

/// A merge, which replaces its inputs with one part per time slot that has rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merge {
    /// The ids of the input parts, in ascending order.
    pub inputs: Vec<PartId>,
    /// The id of the output for the first slot. The following ids belong to the other slots in time
    /// order.
    pub(crate) first_output: PartId,
    /// The number of slots that the inputs touch.
    pub outputs: u32,
    /// The sequence up to which tombstones are applied to the outputs: the maximum of the highest
    /// tombstone at the job's start and of the inputs' [`Part::applied`].
    pub applied: u64,
}

/// A job: merges that may need several events. Full values are stored under reserved keys and
/// record the progress of the job, because their heads contain the ids of the outputs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Job {
    /// The merges, at most one per component.
    pub merges: Vec<Merge>,
    /// The slot width of the outputs, in nanoseconds. The width does not change if the manifest's
    /// width changes.
    pub width_ns: i64,
    /// The reserved keys for the outputs' values.
    pub keys: BTreeSet<Key>,
}

impl Merge {
    /// Returns the id of the output at index `at`.
    pub fn output(&self, at: u32) -> PartId {
        let (salt, first) = (self.first_output.0 >> 32, self.first_output.0 as u32);
        PartId(salt << 32 | u64::from(first.wrapping_add(at)))
    }
}

impl Job {
    /// Whether a part is an input. Inputs are neither dropped nor rewritten.
    pub fn has(&self, id: PartId) -> bool {
        self.merges.iter().any(|merge| merge.inputs.contains(&id))
    }
}

/// The manifest of a shard, as the module's documentation describes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Counters for the lower halves of part ids and value numbers. The upper half is random.
    next_part: u32,
    next_number: u32,
    /// The lowest key that was never assigned. This key and all greater keys are free.
    next_key: Key,
    /// The slot width for new parts, in nanoseconds, above 0.
    pub width_ns: i64,
    parts: BTreeMap<PartId, Part>,
    keys: BTreeMap<Number, Key>,
    /// The keys of unused rows, below `next_key`.
    unused: BTreeSet<Key>,
    holds: Vec<Hold>,
    job: Option<Job>,
}

impl Manifest {
    /// Creates the manifest of a shard without parts.
    pub fn new(width_ns: i64) -> Self {
        Self { width_ns: width_ns.max(1), ..Self::default() }
    }

    /// Returns the parts by id.
    pub fn parts(&self) -> &BTreeMap<PartId, Part> {
        &self.parts
    }

    /// Returns the running job.
    pub fn job(&self) -> Option<&Job> {
        self.job.as_ref()
    }

    /// Returns the keys of unused rows. These keys are reused before new keys are assigned.
    pub fn unused(&self) -> &BTreeSet<Key> {
        &self.unused
    }

    /// Returns all numbers that have rows, in ascending order.
    pub fn numbers(&self) -> impl Iterator<Item = Number> {
        self.keys.keys().copied()
    }

    /// Returns the key of a value's row.
    pub fn key_of(&self, number: Number) -> Option<Key> {
        self.keys.get(&number).copied()
    }

    /// Returns a new part id. `salt` is the random upper half, which the caller drew when the
    /// object loaded.
    pub(crate) fn new_part_id(&mut self, salt: u32) -> PartId {
        PartId(next_number(&mut self.next_part, salt))
    }

    /// Returns the first of `count` consecutive part ids for the outputs of a merge.
    pub(crate) fn give_ids(&mut self, salt: u32, count: u32) -> PartId {
        let first = self.new_part_id(salt);
        self.next_part = self.next_part.wrapping_add(count.saturating_sub(1));
        first
    }

    /// Returns a new value number. The caller must write the value immediately.
    pub(crate) fn new_value_number(&mut self, salt: u32) -> Number {
        Number(next_number(&mut self.next_number, salt))
    }

    /// Reuses an unused key if possible, because replacing a row is billed as one row.
    pub(crate) fn take_key(&mut self) -> Key {
        self.unused.pop_first().unwrap_or_else(|| {
            self.next_key += 1;
            self.next_key - 1
        })
    }

    /// Adds written parts and the keys of their values.
    pub fn add(&mut self, parts: impl IntoIterator<Item = Part>, values: &[(Number, Key)]) {
        self.parts.extend(parts.into_iter().map(|part| (part.id, part)));
        self.keys.extend(values.iter().copied());
    }

    /// Reserves `count` keys for a job and makes the job the running job.
    pub fn start(&mut self, merges: Vec<Merge>, count: u32) {
        let keys = (0..count).map(|_| self.take_key()).collect();
        self.job = Some(Job { merges, width_ns: self.width_ns, keys });
    }

    /// Replaces the inputs of the running job with the job's outputs. `values` are the written
    /// values. Reserved keys without a value become unused.
    pub fn finish(&mut self, outputs: impl IntoIterator<Item = Part>, values: &[(Number, Key)]) {
        let Some(job) = self.job.take() else { return };
        for id in job.merges.iter().flat_map(|merge| &merge.inputs) {
            self.parts.remove(id);
        }
        let used: BTreeSet<Key> = values.iter().map(|&(_, key)| key).collect();
        self.unused.extend(job.keys.difference(&used));
        self.add(outputs, values);
        self.mark_unused();
    }

    /// Ends the running job without a result. The reserved keys become unused.
    pub fn abandon(&mut self) {
        self.unused.extend(self.job.take().into_iter().flat_map(|job| job.keys));
    }

    /// Reserves one more key for the running job. The key is above all other keys, because values
    /// of a job are read in key order.
    pub fn reserve(&mut self) -> Key {
        let key = self.next_key;
        self.next_key += 1;
        if let Some(job) = &mut self.job {
            job.keys.insert(key);
        }
        key
    }

    /// Drops the parts that exist and are not inputs of the running job, and returns their number.
    /// The job removes its inputs without copying invisible rows.
    pub fn drop_parts(&mut self, ids: impl IntoIterator<Item = PartId>) -> usize {
        let before = self.parts.len();
        for id in ids {
            if self.job.as_ref().is_none_or(|job| !job.has(id)) {
                self.parts.remove(&id);
            }
        }
        let dropped = before - self.parts.len();
        if dropped > 0 {
            self.mark_unused();
        }
        dropped
    }

    /// Changes the description of a part, except its id and values.
    pub fn update(&mut self, id: PartId, change: impl FnOnce(&mut Part)) {
        if let Some(part) = self.parts.get_mut(&id) {
            let values = part.values.clone();
            change(part);
            (part.id, part.values) = (id, values);
        }
    }

    /// Adds a hold. If a hold with the same id exists, the new hold replaces it.
    pub fn add_hold(&mut self, hold: Hold) {
        self.holds.retain(|known| known.id != hold.id);
        self.holds.push(hold);
    }

    /// Returns all holds.
    pub fn holds(&self) -> &[Hold] {
        &self.holds
    }

    /// Returns the hold with this id.
    pub fn find_hold(&self, id: u64) -> Option<&Hold> {
        self.holds.iter().find(|hold| hold.id == id)
    }

    /// Returns a manifest with the same parts, in which the key of a value is its position among
    /// the listed numbers. The result has no holds, unused keys or running job, but contains the
    /// inputs of the job.
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

    /// Ends the hold with this id, and all holds that have expired by `now_ns`.
    pub fn release(&mut self, id: Option<u64>, now_ns: i64) {
        self.holds.retain(|hold| !hold.ends(id, now_ns));
        self.mark_unused();
    }

    /// Removes and returns at most `keys_max` unused keys, in ascending order. These keys are not
    /// assigned again after the deletion of their rows.
    pub(crate) fn remove_unused(&mut self, keys_max: usize) -> Vec<Key> {
        (0..keys_max).map_while(|_| self.unused.pop_first()).collect()
    }

    /// Whether a tombstone may hide rows of a part or of an output of the running job. `touches`
    /// checks measurements, series and times.
    pub(crate) fn needs_tombstone(
        &self,
        sequence: u64,
        before: u64,
        touches: impl Fn(&Part) -> bool,
    ) -> bool {
        let is_open = |part: &&Part| part.may_be_hidden_by(sequence, before) && touches(part);
        let inputs = |merge: &Merge| {
            let hi = merge.inputs.iter().filter_map(|id| self.parts.get(id)).map(|part| part.hi);
            merge.applied < sequence && hi.max().is_some_and(|hi| hi < before)
        };
        self.parts.values().any(|part| is_open(&part))
            || self.job.iter().flat_map(|job| &job.merges).any(inputs)
    }

    /// Finds the values that neither a part nor a hold needs, and adds their rows to the unused
    /// rows.
    fn mark_unused(&mut self) {
        let lists = self.parts.values().map(|part| &part.values);
        let lists = lists.chain(self.holds.iter().map(|hold| &hold.numbers));
        let needed: BTreeSet<u64> = lists.flat_map(Runs::iter).collect();
        let unused = &mut self.unused;
        self.keys.retain(|number, key| {
            let is_needed = needed.contains(&number.0);
            if !is_needed {
                unused.insert(*key);
            }
            is_needed
        });
    }
}

/// Returns the next number of a counter, with `salt` as the upper half. After each load, 2^32
/// numbers can be assigned.
fn next_number(next: &mut u32, salt: u32) -> u64 {
    let given = u64::from(salt) << 32 | u64::from(*next);
    *next = next.wrapping_add(1);
    given
}

/// A violated invariant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvariantError {
    /// A part's last sequence or time precedes its first.
    #[error("part {0:?} ends before it begins")]
    Backwards(PartId),
    /// Two parts overlap in time and in write sequences, so their order is unknown.
    #[error("parts {0:?} and {1:?} overlap in time and sequence")]
    Interleaved(PartId, PartId),
    /// A listed or held value has no row.
    #[error("the value with key {0} has no row")]
    NoRow(u64),
    /// A row belongs to two values, has a key that was never assigned, or is in use although it is
    /// unused or reserved.
    #[error("value row {0} is used twice, or was never assigned")]
    Row(u64),
    /// A job's input does not exist, or belongs to two merges.
    #[error("part {0:?} cannot be an input of a merge job")]
    Input(PartId),
}

impl Manifest {
    /// Checks all invariants.
    pub fn check(&self) -> Result<(), InvariantError> {
        for part in self.parts.values() {
            if part.lo > part.hi || part.min_ns > part.max_ns {
                return Err(InvariantError::Backwards(part.id));
            }
        }
        self.check_order()?;
        self.check_rows()?;
        let mut inputs = BTreeSet::new();
        for &id in self.job.iter().flat_map(|job| job.merges.iter().flat_map(|m| &m.inputs)) {
            if !self.parts.contains_key(&id) || !inputs.insert(id) {
                return Err(InvariantError::Input(id));
            }
        }
        Ok(())
    }

    fn check_order(&self) -> Result<(), InvariantError> {
        // If a shard has many parts, the parts are in many slots, so few parts overlap in time.
        let mut by_time: Vec<&Part> = self.parts.values().collect();
        by_time.sort_by_key(|part| part.min_ns);
        for (at, part) in by_time.iter().enumerate() {
            let later = by_time.iter().skip(at + 1);
            let mut overlapping = later.take_while(|other| other.min_ns <= part.max_ns);
            if let Some(other) =
                overlapping.find(|other| other.extent().clashes_with(&part.extent()))
            {
                return Err(InvariantError::Interleaved(part.id, other.id));
            }
        }
        Ok(())
    }

    /// Checks that each listed or held value has a row, and that no row has two uses.
    fn check_rows(&self) -> Result<(), InvariantError> {
        let listed = self.parts.values().map(|part| &part.values);
        let listed = listed.chain(self.holds.iter().map(|hold| &hold.numbers));
        for number in listed.flat_map(Runs::iter) {
            if !self.keys.contains_key(&Number(number)) {
                return Err(InvariantError::NoRow(number));
            }
        }
        let reserved = self.job.iter().flat_map(|job| &job.keys);
        let given = self.keys.values().chain(&self.unused).chain(reserved);
        let mut given: Vec<u64> = given.copied().collect();
        given.sort();
        let twice = given.windows(2).find(|pair| matches!(pair, [a, b] if a == b));
        let unknown = given.last().filter(|&&last| last >= self.next_key);
        match twice.and_then(|pair| pair.first()).or(unknown) {
            Some(&key) => Err(InvariantError::Row(key)),
            None => Ok(()),
        }
    }
}

/// A component: the parts whose times overlap directly or through other parts, so that their rows
/// may overwrite each other. Retention drops either all parts of a component or no part. Otherwise,
/// older values could become visible when the policy's duration is increased.
struct Component {
    parts: Vec<PartId>,
    max_ns: i64,
}

impl Manifest {
    /// Returns the parts that have expired if all times before `before_ns` have expired. The caller
    /// must drop all of these parts in one transaction.
    pub fn expired(&self, before_ns: i64) -> Vec<PartId> {
        let is_over = |component: &Component| component.max_ns < before_ns;
        self.droppable().into_iter().filter(is_over).flat_map(|component| component.parts).collect()
    }

    /// Returns the latest time of the component that expires first.
    pub(crate) fn next_expiry_ns(&self) -> Option<i64> {
        self.droppable().iter().map(|component| component.max_ns).min()
    }

    /// Returns the components without an input of the running job, sorted by time.
    fn droppable(&self) -> Vec<Component> {
        let mut by_time: Vec<_> = self.parts.values().collect();
        by_time.sort_by_key(|part| part.min_ns);
        let mut components: Vec<Component> = Vec::new();
        for part in by_time {
            match components.last_mut() {
                Some(last) if part.min_ns <= last.max_ns => {
                    last.parts.push(part.id);
                    last.max_ns = last.max_ns.max(part.max_ns);
                }
                _ => components.push(Component { parts: vec![part.id], max_ns: part.max_ns }),
            }
        }
        if let Some(job) = &self.job {
            components.retain(|component| !component.parts.iter().any(|&id| job.has(id)));
        }
        components
    }
}
