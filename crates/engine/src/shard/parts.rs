//! Keeps the parts of a loaded shard. Assigns rows and numbers to the values of written parts, and
//! creates the manifest entries of the parts.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use super::manifest::{Key, Manifest, Number, Part, PartId};
use crate::merge::sequences::Sequences;
use crate::part::writer::{Value, Written};
use crate::store::{Store, StoreResult, Table};
use tidemark_model::bug::OrBug;
use tidemark_model::series_sketch::SeriesSketch;

/// The manifest, and results that were computed from the manifest. A change of the manifest
/// discards these results.
#[derive(Default)]
pub(super) struct Parts {
    manifest: Manifest,
    /// The upper half of part ids and value numbers. A new salt is drawn when the object loads.
    pub(super) salt: u32,
    /// Whether the stored manifest contains the running job. A job that fits into one event is not
    /// stored.
    pub(super) is_job_stored: bool,
    unmergeable: BTreeSet<PartId>,
    sketch: OnceCell<SeriesSketch>,
    due_work: RefCell<Option<Rc<DueWork>>>,
}

/// The background work that is due, or will be due, for a shard's parts.
#[derive(Clone, Debug, Default)]
pub(super) struct DueWork {
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

impl Parts {
    pub(super) fn new(manifest: Manifest, salt: u32) -> Self {
        Self { is_job_stored: manifest.job().is_some(), manifest, salt, ..Self::default() }
    }

    pub(super) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Excludes parts with a damaged block from merges.
    pub(super) fn exclude(&mut self, parts: impl IntoIterator<Item = PartId>) {
        self.unmergeable.extend(parts);
        self.forget_due_work();
    }

    pub(super) fn is_excluded(&self, id: PartId) -> bool {
        self.unmergeable.contains(&id)
    }

    /// Replaces the manifest. `is_stored` is `false` if the new manifest starts a job that is only
    /// in memory.
    pub(super) fn replace(&mut self, manifest: Manifest, is_stored: bool) {
        self.is_job_stored = is_stored && manifest.job().is_some();
        self.manifest = manifest;
        self.sketch.take();
        self.forget_due_work();
    }

    /// Returns a new value number. The caller must write the value immediately.
    pub(super) fn new_value_number(&mut self) -> Number {
        self.manifest.new_value_number(self.salt)
    }

    /// Returns the union of the sketches of all parts.
    pub(super) fn sketch(&self) -> &SeriesSketch {
        self.sketch.get_or_init(|| {
            let mut union = SeriesSketch::default();
            self.manifest.parts().values().for_each(|part| union.merge(&part.sketch));
            union
        })
    }

    /// Returns the cached result, or the result of `make` if the cached result is outdated.
    pub(super) fn due_work(&self, now_ns: i64, make: impl FnOnce() -> DueWork) -> Rc<DueWork> {
        let mut known = self.due_work.borrow_mut();
        let is_old =
            |work: &mut Rc<DueWork>| work.quiet_ns.is_some_and(|quiet_ns| quiet_ns <= now_ns);
        drop(known.take_if(is_old));
        Rc::clone(known.get_or_insert_with(|| Rc::new(make())))
    }

    /// Discards the cached result. The caller calls this function after an input of the due work
    /// other than the manifest has changed.
    pub(super) fn forget_due_work(&mut self) {
        self.due_work.take();
    }
}

/// A value that is ready to be stored, with its number and its key.
pub(super) struct NewValue {
    number: Number,
    key: Key,
    value: Value,
}

impl NewValue {
    pub(super) fn new(value: Value, number: Number, key: Key) -> Self {
        Self { number, key, value }
    }

    pub(super) fn place(&self) -> (Number, Key) {
        (self.number, self.key)
    }

    /// Stores the value. The same transaction must add the value to the manifest, unless the value
    /// belongs to the running job.
    pub(super) fn put<S: Store>(&self, store: &S) -> StoreResult<()> {
        store.put(Table::Value, self.key, &self.value.head(self.number.0), &self.value.body)
    }
}

/// Returns the manifest's entry of a written part. `values` contains all values of the part's
/// writer, starting with the first.
pub(super) fn listed(written: &Written, sequences: Sequences, values: &[(Number, Key)]) -> Part {
    let Sequences { lo, hi, applied } = sequences;
    let own = values.get(written.values.clone()).or_bug();
    Part {
        id: PartId(written.id),
        lo,
        hi,
        applied,
        min_ns: written.min_ns,
        max_ns: written.max_ns,
        rows: written.rows,
        series: written.series,
        bytes: written.bytes,
        cells: written.cells,
        sketch: written.sketch.clone(),
        series_sum: written.series_sum,
        values: own.iter().map(|(number, _)| number.0).collect(),
    }
}

pub(super) fn place(manifest: &mut Manifest, salt: u32, values: Vec<Value>) -> Vec<NewValue> {
    let place = |value| {
        let key = manifest.take_key();
        NewValue::new(value, manifest.new_value_number(salt), key)
    };
    values.into_iter().map(place).collect()
}
