//! Parts that were written: their values get rows and numbers, and they get listed.

use super::manifest::{Key, Manifest, Number, Part, PartId};
use crate::merge::sequences::Sequences;
use crate::part::writer::{Value, Written};
use crate::store::{Store, StoreError, Table};

/// A value that is to be stored, and where.
pub(super) struct NewValue {
    number: Number,
    key: Key,
    value: Value,
}

impl NewValue {
    /// Gives a value a number, and the row that `key` answers.
    pub(super) fn new(value: Value, number: Number, key: Key) -> Self {
        Self { number, key, value }
    }

    /// Its number and its row.
    pub(super) fn place(&self) -> (Number, Key) {
        (self.number, self.key)
    }

    /// Writes the row. Inside the transaction that lists it, or the value is of the running job.
    pub(super) fn put<S: Store>(&self, store: &S) -> Result<(), StoreError> {
        store.put(Table::Value, self.key, &self.value.head(self.number.0), &self.value.body)
    }
}

/// What the manifest says of a part; `values` are those of its writer, from the first on.
pub(super) fn listed(written: &Written, sequences: Sequences, values: &[(Number, Key)]) -> Part {
    let Sequences { lo, hi, applied } = sequences;
    let own = values.get(written.values.clone()).unwrap_or_default();
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
        values: own.iter().map(|(number, _)| number.0).collect(),
    }
}

/// Gives free rows to all that a writer has left.
pub(super) fn place(manifest: &mut Manifest, salt: u32, values: Vec<Value>) -> Vec<NewValue> {
    let place = |value| {
        let key = manifest.take_key();
        NewValue::new(value, manifest.give_number(salt), key)
    };
    values.into_iter().map(place).collect()
}
