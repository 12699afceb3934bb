//! Assigns rows and numbers to the values of written parts, and creates the manifest entries of the
//! parts.

use super::manifest::{Key, Manifest, Number, Part, PartId};
use crate::merge::sequences::Sequences;
use crate::part::writer::{Value, Written};
use crate::store::{Store, StoreResult, Table};
use tidemark_model::bug::OrBug;

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

    /// The transaction must also list the value, unless the value belongs to the running job.
    pub(super) fn put<S: Store>(&self, store: &S) -> StoreResult<()> {
        store.put(Table::Value, self.key, &self.value.head(self.number.0), &self.value.body)
    }
}

/// `values` contains all values of the part's writer, starting with the first.
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
